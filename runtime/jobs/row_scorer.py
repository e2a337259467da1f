"""A callable that adds predictions to batches of rows, for pipelines of other engines.

dataset.map_batches(RowScorer, fn_constructor_args=("artifact",), batch_format="pyarrow")      # Ray Data

scorer = RowScorer("artifact", text_column="note")
frame.mapInArrow(scorer, f"id bigint, note string, {scorer.ddl}")                               # Spark
"""

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..artifact.folder import read_artifact
from ..classifier import Classifier, Result, load
from ..decision.policy import CallOptions, call_policy
from ..decision.prediction import Prediction
from ..errors import ArtifactError, SettingError, TextTypeError

NOT_A_STRING = "the text is missing, not a string, or not UTF-8"
KEPT_CLASSIFIERS = 4


class RowScorer:
    """Adds the columns of a prediction to batches of rows. It never raises for a row, but fills its `error`.

    It can be pickled; the artifact is loaded in the process that first calls it, and once for all copies there.

    Attributes:
        columns: Names and types of the columns that it adds, the types as in Spark: `label`, `labels`, a score for each
            label, or with `top_k` for each of the best, `abstained`, `truncated`, `n_tokens`, and `error`, which says
            why a text cannot be classified.
    """

    def __init__(
        self,
        artifact: str | os.PathLike[str],
        text_column: str = "text",
        *,
        top_k: int | None = None,
        thresholds: float | Mapping[str, float] | None = None,
        sha256: str | None = None,
        provider: str = "cpu",
        variant: str | None = None,
        threads: int | None = 1,
    ) -> None:
        """Reads the manifest, but does not load the artifact.

        Args:
            artifact: The folder that `python -m export` wrote, at the same path on every machine.
            text_column: Column of the texts.
            top_k: Number of labels and scores of a row at most; None for the scores of all labels.
            thresholds: As for `Classifier.predict`.
            sha256: Hash that the artifact must have on every machine; None for the one that it has on this.
            provider: As for `load`.
            variant: As for `load`.
            threads: As for `load`; an engine usually starts a process for every CPU, so the default is 1.

        Raises:
            ArtifactError: There is no artifact, or it cannot be used.
            SettingError: An option is out of range.
        """
        found = read_artifact(artifact)
        self._artifact, self._text_column = str(artifact), text_column
        self._sha256 = sha256 or found.sha256
        self._options: CallOptions = {"top_k": top_k, "thresholds": thresholds}
        call_policy(found.manifest, **self._options)
        self._engine = (("provider", provider), ("variant", variant), ("threads", threads))
        self._labels = found.manifest.labels
        self._best = None if top_k is None else min(top_k, len(self._labels))
        scores = [(f"score_{label}", "float") for label in self._labels]
        if self._best is not None:
            pair = ("label", "string"), ("score", "float")
            scores = [(f"{name}_{place}", kind) for place in range(1, self._best + 1) for name, kind in pair]
        flags = [("abstained", "boolean"), ("truncated", "boolean"), ("n_tokens", "int"), ("error", "string")]
        self.columns: tuple[tuple[str, str], ...] = (
            *(("label", "string"), ("labels", "array<string>")),
            *scores,
            *flags,
        )

    @property
    def ddl(self) -> str:
        """The columns that it adds, as Spark writes a schema."""
        return ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in self.columns)

    def __call__(self, batch: Any) -> Any:
        """Adds the columns to a batch.

        Args:
            batch: A dict of NumPy arrays, a pyarrow RecordBatch or Table, or an iterator over RecordBatches.

        Returns:
            The same kind. In NumPy arrays, a row with an error has NaN as scores, and None or False elsewhere.

        Raises:
            SettingError: The text column is missing, or a column has the name of one that is added.
            LitmusError: As `load`; also if the artifact has another hash. InferenceError: The model fails.
        """
        if isinstance(batch, Mapping):
            return self._score_arrays(batch)
        if isinstance(batch, Iterator):
            return map(self, batch)
        self._check(batch.schema.names)
        import pyarrow as pa  # noqa: PLC0415 - the batch has loaded it

        from ..files.parquet import values  # noqa: PLC0415 - as above

        added = self._added(values(batch.column(self._text_column)))

        kinds = {"string": pa.string(), "array<string>": pa.list_(pa.string()), "float": pa.float32()}
        kinds |= {"boolean": pa.bool_(), "int": pa.int32()}
        arrays = [pa.array(added[name], kinds[kind]) for name, kind in self.columns]
        names = [*batch.schema.names, *added]
        return type(batch).from_arrays([*batch.columns, *arrays], names=names)

    def _score_arrays(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        self._check(batch.keys())
        added: dict[str, Any] = {}
        texts = batch[self._text_column]
        found = self._added(texts.tolist() if isinstance(texts, np.ndarray) else list(texts))
        for name, kind in self.columns:
            values = found[name]
            if kind == "float":
                added[name] = np.array([np.nan if value is None else value for value in values], np.float32)
            elif kind in ("boolean", "int"):
                added[name] = np.array([value or 0 for value in values], bool if kind == "boolean" else np.int32)
            else:
                added[name] = np.empty(len(values), object)
                added[name][:] = values
        return {**batch, **added}

    def _check(self, names: Any) -> None:
        if list(names).count(self._text_column) != 1:
            raise SettingError("the batch does not have the text column, or has it twice; pass its name as text_column")
        taken = [name for name, _ in self.columns if name in names]
        if taken:
            raise SettingError(f"the batch has the column {taken[0]!r} already; rename it")

    def _added(self, texts: list[Any]) -> dict[str, list[Any]]:
        """Returns the columns to add; None where there is nothing."""
        results = self._results(texts)
        found = [item if isinstance(item, Prediction) else None for item in results]
        columns: dict[str, list[Any]] = {
            "label": [item and item.label for item in found],
            "labels": [item and list(item.labels) for item in found],
        }
        if self._best is None:
            for label in self._labels:
                columns[f"score_{label}"] = [item and item.scores[label] for item in found]
        else:
            ranked = [item and list(item.scores.items()) for item in found]
            for place in range(self._best):
                columns[f"label_{place + 1}"] = [items and items[place][0] for items in ranked]
                columns[f"score_{place + 1}"] = [items and items[place][1] for items in ranked]
        for name in ("abstained", "truncated", "n_tokens"):
            columns[name] = [item and getattr(item, name) for item in found]
        columns["error"] = [None if isinstance(item, Prediction) else item.reason for item in results]
        return columns

    def _results(self, texts: list[Any]) -> list[Result]:
        classifier = _classifier(self._artifact, self._sha256, self._engine)
        unique = list(dict.fromkeys(text for text in texts if isinstance(text, str)))
        results = classifier.predict_iter(unique, return_errors=True, **self._options)
        known: dict[str, Result] = dict(zip(unique, results, strict=True))
        return [known[text] if isinstance(text, str) else TextTypeError(0, NOT_A_STRING) for text in texts]


@functools.lru_cache(KEPT_CLASSIFIERS)
def _classifier(artifact: str, sha256: str, engine: tuple[tuple[str, Any], ...]) -> Classifier:
    """Loads an artifact, once in a process."""
    if read_artifact(artifact).sha256 != sha256:
        raise ArtifactError("the artifact on this machine is another one; copy the same to every machine")
    return load(artifact, **dict(engine))
