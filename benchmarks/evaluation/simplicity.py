"""Whether a bag of words answers as well: then the rows are too simple to show what a transformer adds."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from runtime.artifact.manifest import Manifest
from training.arrays import Integers, Targets
from training.decisions.metrics import METRICS, quality
from training.evaluation.intervals import Interval, bootstrap, interval

FOLDS = 5
MIN_ROWS = 50
MAX_ROWS = 5000
MARGIN = 0.01
WORD = r"(?u)\b\w+\b"  # a single Chinese character is a word as well


@dataclass(frozen=True)
class BagOfWords:
    """A bag of words that was fitted to the evaluated rows, in cross-validation.

    Attributes:
        metric: Name of the metric.
        rows: Number of rows.
        value: The metric of the bag of words.
        difference: The metric of the model minus that of the bag of words.
    """

    metric: str
    rows: int
    value: float
    difference: Interval

    @property
    def too_simple(self) -> bool:
        """Whether the bag of words is as good as the model, to within `MARGIN`."""
        return self.difference.value < MARGIN


def bag_of_words(texts: tuple[str, ...], targets: Targets, decided: Integers, manifest: Manifest) -> BagOfWords | None:
    """Compares the model with TF-IDF and logistic regression on the same rows.

    The bag of words is fitted to four fifths of the rows and predicts the rest, five times. It sees fewer rows than the
    model was trained on, so if it is as good, the rows are simple.

    Args:
        texts: The texts; of more than `MAX_ROWS`, a random sample is used.
        targets: As returned by `labels.encode`.
        decided: The model's predictions.
        manifest: The artifact's.

    Returns:
        The comparison; None for fewer than `MIN_ROWS` rows, or if too few rows have a second label.
    """
    if len(texts) < MIN_ROWS:
        return None
    chosen = np.sort(np.random.default_rng(0).permutation(len(texts))[:MAX_ROWS])
    kept, true, model = [texts[row] for row in chosen], targets[chosen], decided[chosen]
    vectors = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True)
    logistic = LogisticRegression(C=10, class_weight="balanced", solver="liblinear")
    if manifest.task == "single_label":
        counts = np.bincount(np.asarray(true, np.int64))
        if (counts >= FOLDS).sum() < 2:
            return None
        rare = np.isin(true, np.flatnonzero(counts < FOLDS))  # in a fold without them; the model gets the same rows
        kept, true, model = [text for text, out in zip(kept, rare, strict=True) if not out], true[~rare], model[~rare]
        folds: Any = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    else:
        folds = KFold(FOLDS, shuffle=True, random_state=0)
    pipeline = make_pipeline(vectors, OneVsRestClassifier(logistic))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a label that no row of a fold has is never predicted
            found = np.asarray(cross_val_predict(pipeline, kept, np.asarray(true, np.int64), cv=folds), np.int64)
    except ValueError:  # no word, or a fold in which every row has a label
        return None
    metric, task, labels = METRICS[manifest.task][0], manifest.task, len(manifest.labels)
    values = {name: quality(items, true, task)[metric] for name, items in {"model": model, "words": found}.items()}
    draws = bootstrap({"model": model, "words": found}, true, task, labels, metric=metric)
    difference = interval(values["model"] - values["words"], draws["model"] - draws["words"])
    return BagOfWords(metric, len(true), values["words"], difference)
