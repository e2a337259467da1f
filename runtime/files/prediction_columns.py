"""The columns of predictions in a table, for CSV, Parquet and other engines alike."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from ..decision.prediction import Prediction

Kind = Literal["string", "strings", "float", "bool", "int"]


def prediction_columns(labels: Sequence[str], top_k: int | None) -> tuple[tuple[str, Kind], ...]:
    """Returns names and kinds of the columns.

    Args:
        labels: Labels of the classifier.
        top_k: Number of labels and scores of a row at most; None for a score of every label.
    """
    scores: list[tuple[str, Kind]] = [(f"score_{label}", "float") for label in labels]
    if top_k is not None:
        pair: tuple[tuple[str, Kind], ...] = (("label", "string"), ("score", "float"))
        scores = [(f"{name}_{place}", kind) for place in range(1, min(top_k, len(labels)) + 1) for name, kind in pair]
    return (
        ("label", "string"), ("labels", "strings"), *scores,
        ("abstained", "bool"), ("truncated", "bool"), ("n_tokens", "int"),
    )  # fmt: skip


def prediction_values(
    found: Sequence[Prediction | None], labels: Sequence[str], top_k: int | None
) -> Iterator[Sequence[Any]]:
    """Yields the values of each column of `prediction_columns`, of all rows; None where there is no prediction."""
    yield [item and item.label for item in found]
    yield [item and list(item.labels) for item in found]
    rows: list[Iterable[Any]]
    if top_k is None:
        nothing = (None,) * len(labels)
        rows = [item.scores.values() if item else nothing for item in found]  # in the order of the labels
    else:
        nothing = (None,) * (2 * min(top_k, len(labels)))
        rows = [[cell for pair in item.scores.items() for cell in pair] if item else nothing for item in found]
    yield from zip(*rows, strict=True) if rows else [()] * len(nothing)
    for name in ("abstained", "truncated", "n_tokens"):
        yield [item and getattr(item, name) for item in found]
