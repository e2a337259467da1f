"""What the classifier returns for a text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN_SCORES = 3


@dataclass(frozen=True, slots=True)
class WindowScores:
    """The scores of one window of a long text.

    Attributes:
        start: Position of its first character in the text.
        end: Position after its last character.
        scores: Every label's score, in the manifest's order.
        logits: In the manifest's order; None unless `with_logits` was set.
    """

    start: int
    end: int
    scores: Mapping[str, float]
    logits: tuple[float, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values, ready for JSON; without `logits` if that is None."""
        content = {"start": self.start, "end": self.end, "scores": dict(self.scores)}
        return content if self.logits is None else content | {"logits": list(self.logits)}


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """The labels and scores of one text.

    Attributes:
        labels: The assigned labels, best first. Single-label: one, or none if the classifier abstains. Multi-label:
            every label whose score reaches its threshold, possibly none.
        scores: Every label's score in [0, 1], in the manifest's order; with `top_k` the highest, best first.
            Single-label scores sum to one.
        abstained: Single-label: the best score is below the threshold for assigning a label.
        truncated: The text was longer than the model's `max_length`, and the rest was not read.
        n_tokens: Number of tokens read, including special tokens; with windows the sum over all windows.
        logits: In the manifest's order; None unless `with_logits` was set and the text was one window.
        windows: With `windows`, the scores of each window.
    """

    labels: tuple[str, ...]
    scores: Mapping[str, float]
    abstained: bool
    truncated: bool
    n_tokens: int
    logits: tuple[float, ...] | None = None
    windows: tuple[WindowScores, ...] = ()

    @property
    def label(self) -> str | None:
        """The best assigned label, or None."""
        return self.labels[0] if self.labels else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values, ready for JSON; without `logits` and `windows` if there are none."""
        content = {"label": self.label} | {name: getattr(self, name) for name in ("abstained", "truncated", "n_tokens")}
        content |= {"labels": list(self.labels), "scores": dict(self.scores)}
        if self.logits is not None:
            content["logits"] = list(self.logits)
        if self.windows:
            content["windows"] = [window.to_dict() for window in self.windows]
        return content

    def __repr__(self) -> str:
        """Shows the labels and the highest scores."""
        best = sorted(self.scores.items(), key=lambda item: -item[1])[:SHOWN_SCORES]
        scores = ", ".join(f"{label!r}: {score:.4f}" for label, score in best)
        more = f", and {len(self.scores) - len(best)} more" if len(self.scores) > len(best) else ""
        flags = "".join(f", {name}=True" for name in ("abstained", "truncated") if getattr(self, name))
        windows = f", {len(self.windows)} windows" if self.windows else ""
        return (
            f"Prediction(labels={self.labels!r}, scores={{{scores}{more}}}{flags}, n_tokens={self.n_tokens}{windows})"
        )
