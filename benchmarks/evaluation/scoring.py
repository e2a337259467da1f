"""Runs variants of an artifact on rows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from runtime import Classifier, TextError
from runtime.artifact.manifest import Manifest
from training.arrays import Doubles, Floats, Integers
from training.data.table import Table
from training.decisions.learning import Decisions, decide
from training.decisions.temperature import scores
from training.errors import DataError

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """The predictions of one variant.

    Attributes:
        variant: Its name.
        logits: (rows, labels) float32.
        scores: (rows, labels) float64, with the artifact's temperature.
        decided: Predicted labels as returned by `learning.decide`, including rows on which the classifier abstains.
        abstained: (rows,) bool.
        tokens: (rows,) int64 tokens read.
        truncated: (rows,) bool.
    """

    variant: str
    logits: Floats
    scores: Doubles
    decided: Integers
    abstained: Flags
    tokens: Integers
    truncated: Flags

    def at(self, rows: Integers) -> Self:
        """Returns the predictions of some rows."""
        arrays = {item.name: getattr(self, item.name)[rows] for item in fields(self) if item.name != "variant"}
        return replace(self, **arrays)


def decisions(manifest: Manifest) -> Decisions:
    """Returns the decision parameters of an artifact."""
    return Decisions(manifest.temperature, manifest.thresholds, manifest.abstain_below)


def score(classifier: Classifier, texts: Sequence[str], table: Table) -> Scored:
    """Classifies all texts of a file.

    Args:
        classifier: The loaded variant.
        texts: The texts, one per row of the file.
        table: The file, for messages.

    Raises:
        DataError: A text cannot be classified. The message has its row number, from 1.
    """
    try:
        found = classifier.predict_many(texts, with_logits=True)
    except TextError as error:
        raise DataError(f"{table.name}: row {error.position + 1}: {error.reason}") from error
    manifest = classifier.manifest
    logits = np.array([prediction.logits for prediction in found], np.float32)
    parameters = decisions(manifest)
    return Scored(
        classifier.variant,
        logits,
        scores(logits, manifest.task, manifest.temperature),
        decide(logits, manifest.task, parameters),
        np.array([prediction.abstained for prediction in found]),
        np.array([prediction.n_tokens for prediction in found], np.int64),
        np.array([prediction.truncated for prediction in found]),
    )
