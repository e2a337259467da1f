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
from ..classifier import Classifier, Result
from ..decision.policy import CallOptions, call_policy
from ..decision.prediction import Prediction
from ..errors import SettingError, TextError, TextTypeError
from ..files.prediction_columns import prediction_columns, prediction_values
from .loading import load_same

NOT_A_STRING = "the text is missing, not a string, or not UTF-8"
KEPT_CLASSIFIERS = 4
SPARK_TYPES = {"string": "string", "strings": "array<string>", "float": "float", "bool": "boolean", "int": "int"}


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
        self._artifact, self._text_column = os.path.abspath(artifact), text_column  # noqa: PTH100 - keeps links
        self._sha256 = sha256 or found.sha256
        self._options: CallOptions = {"top_k": top_k, "thresholds": thresholds}
        call_policy(found.manifest, **self._options)
        self._engine = (("provider", provider), ("variant", variant), ("threads", threads))
        self._labels, self._top_k = found.manifest.labels, top_k
        self.columns: tuple[tuple[str, str], ...] = (
            *((name, SPARK_TYPES[kind]) for name, kind in prediction_columns(self._labels, top_k)),
            ("error", "string"),
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
            SettingError: It is no batch, the text column is missing or not an array of one dimension, or a column has
                the name of one that is added.
            LitmusError: As `load`; also if the artifact has another hash. InferenceError: The model fails.
        """
        if isinstance(batch, Mapping):
            return self._score_arrays(batch)
        if isinstance(batch, Iterator):
            return map(self, batch)
        if not hasattr(batch, "schema"):
            raise SettingError(
                "expected a dict of NumPy arrays, a pyarrow RecordBatch or Table, or an iterator over RecordBatches; "
                f"found {type(batch).__name__}"
            )
        self._check(batch.schema.names)
        import pyarrow as pa  # noqa: PLC0415 - the batch has loaded it

        from ..files.parquet import prediction_arrays, values  # noqa: PLC0415 - as above

        found, errors = self._results(values(batch.column(self._text_column)))
        added = [*prediction_arrays(found, self._labels, self._top_k), pa.array(errors, pa.string())]
        fields = [pa.field(name, array.type) for (name, _), array in zip(self.columns, added, strict=True)]
        schema = pa.schema([*batch.schema, *fields], batch.schema.metadata)
        return type(batch).from_arrays([*batch.columns, *added], schema=schema)

    def _score_arrays(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        self._check(batch.keys())
        texts = np.asarray(batch[self._text_column], object)
        if texts.ndim != 1:
            raise SettingError("the text column is not an array of one dimension")
        found, errors = self._results(texts.tolist())
        added: dict[str, Any] = {}
        for (name, kind), column in zip(
            self.columns, [*prediction_values(found, self._labels, self._top_k), errors], strict=True
        ):
            if kind == "float":
                added[name] = np.array([np.nan if value is None else value for value in column], np.float32)
            elif kind in ("boolean", "int"):
                added[name] = np.array([value or 0 for value in column], bool if kind == "boolean" else np.int32)
            else:
                added[name] = np.empty(len(column), object)
                added[name][:] = column
        return {**batch, **added}

    def _check(self, names: Any) -> None:
        if list(names).count(self._text_column) != 1:
            raise SettingError("the batch does not have the text column, or has it twice; pass its name as text_column")
        taken = [name for name, _ in self.columns if name in names]
        if taken:
            raise SettingError(f"the batch has the column {taken[0]!r} already; rename it")

    def _results(self, texts: list[Any]) -> tuple[list[Prediction | None], list[str | None]]:
        """Returns the prediction of each text, and its error; None where there is none."""
        classifier = _classifier(self._artifact, self._sha256, self._engine)
        unique = list(dict.fromkeys(text for text in texts if isinstance(text, str)))
        results = classifier.predict_iter(unique, return_errors=True, **self._options)
        known: dict[Any, Result] = dict(zip(unique, results, strict=True))
        missing = TextTypeError(0, NOT_A_STRING)
        found = [known[text] if isinstance(text, str) else missing for text in texts]
        return (
            [item if isinstance(item, Prediction) else None for item in found],
            [item.reason if isinstance(item, TextError) else None for item in found],
        )


@functools.lru_cache(KEPT_CLASSIFIERS)
def _classifier(artifact: str, sha256: str, engine: tuple[tuple[str, Any], ...]) -> Classifier:
    """Loads an artifact, once in a process."""
    return load_same(artifact, sha256, dict(engine))
