"""Baselines on the same rows: four linear models on TF-IDF.

They get what the transformer gets: the cleaned texts, the class weights, and the validation split, on which n-grams and
regularization are selected. Each is evaluated once on the test split, with its selected setting.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

from ..arrays import Doubles, Integers
from ..data.dataset import LabelledData
from ..decisions.learning import learn_thresholds
from ..decisions.metrics import METRICS, label_flags, quality
from ..model.loss import balanced_weights
from ..phases import phase
from .classification import LabelQuality, label_quality

WORD = r"(?u)\b\w+\b"  # a single Chinese character is a word as well
MAX_TUNING_ROWS = 4000
MAX_CHARACTERS = 10_000_000  # of the training split; character n-grams of more take gigabytes

logger = logging.getLogger(__name__)

Matrices = Mapping[str, csr_matrix]


@dataclass(frozen=True)
class Baseline:
    """A baseline, fitted with the setting that is best on the validation split.

    Attributes:
        setting: N-grams and regularization, in words.
        validation: Metrics on the validation split, as returned by `metrics.quality`.
        test: Metrics on the test split.
        predicted: Predictions on the test split, as returned by `learning.decide`.
        labels: Quality of each label on the test split.
    """

    setting: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    predicted: Integers
    labels: Mapping[str, LabelQuality] = field(default_factory=dict)


@dataclass(frozen=True)
class _Fitted:
    """A fitted setting: its metrics on the validation split, and its predictions on the test split."""

    validation: Mapping[str, float]
    predicted: Integers


@dataclass(frozen=True)
class _Family:
    """A kind of binary model, its tuned parameter, and the values to try; n-grams are selected with the first."""

    build: Callable[[float], Any]
    parameter: str
    values: tuple[float, ...]


# Tolerances are as coarse as liblinear's own: the metrics are the same, and banking77 takes half the time.
FAMILIES = {
    "TF-IDF, logistic regression": _Family(
        lambda value: LogisticRegression(C=value, solver="liblinear", tol=0.01), "C", (10, 1, 100)
    ),
    "TF-IDF, linear SVM": _Family(lambda value: LinearSVC(C=value, tol=0.01, random_state=0), "C", (1, 0.1, 10)),
    "TF-IDF, ridge": _Family(lambda value: RidgeClassifier(alpha=value, tol=0.01), "alpha", (1, 3, 0.3)),
    "TF-IDF, naive Bayes": _Family(lambda value: ComplementNB(alpha=value), "alpha", (0.1, 1)),
}


def judge_baselines(data: LabelledData, clean: Callable[[str], str], *, balanced: bool) -> dict[str, Baseline]:
    """Fits baselines on the training split, tunes them on the validation split, evaluates them on the test split.

    Multi-label thresholds are learned on the validation split, as for the transformer.

    Args:
        data: The data set, split.
        clean: Cleans a text, as the transformer's tokenizer does.
        balanced: Whether rare labels get more weight, as with `--class_weights balanced`.

    Returns:
        The baselines by name; empty if the texts have no n-grams in common.
    """
    features = _features({name: [clean(text) for text in split.texts] for name, split in data.splits.items()})
    if not features:
        logger.warning("no baselines: the texts have neither words nor characters in common")
    weights = _row_weights(data, balanced=balanced)
    found = {}
    for name, family in FAMILIES.items() if features else ():
        refits = len(weights) > MAX_TUNING_ROWS
        with phase(name, len(features) + len(family.values) - 1 + refits) as running:
            found[name] = _best(family, features, weights, data, running.advance)
    return found


def best_baseline(baselines: Mapping[str, Baseline], metric: str) -> str | None:
    """Returns the name of the baseline that is best on the validation split; None without baselines.

    Selecting it on the test split would favour the baselines. Ties are broken on the test split, which never favours
    the model.
    """

    def rank(name: str) -> tuple[float, float]:
        return baselines[name].validation[metric], baselines[name].test[metric]

    return max(baselines, key=rank, default=None)


def _features(texts: Mapping[str, list[str]]) -> dict[str, Matrices]:
    """Returns (texts, n-grams) TF-IDF of each split, by kind of n-gram; kinds without any n-gram are left out."""
    vectorizers = {
        "word n-grams": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD),
        "character n-grams": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2),
    }
    if (characters := sum(map(len, texts["train"]))) > MAX_CHARACTERS:
        logger.info("baselines: character n-grams are left out, the training split has %d characters", characters)
        del vectorizers["character n-grams"]
    found: dict[str, Matrices] = {}
    for kind, vectorizer in vectorizers.items():
        with phase(f"TF-IDF, {kind}"):
            try:
                matrices = {"train": vectorizer.fit_transform(texts["train"])}
            except ValueError:  # no n-gram, or none in two texts
                continue
            found[kind] = matrices | {name: vectorizer.transform(texts[name]) for name in ("validation", "test")}
    if len(found) > 1:
        pairs = {name: [matrices[name] for matrices in found.values()] for name in texts}
        found["word and character n-grams"] = {name: hstack(pair, format="csr") for name, pair in pairs.items()}
    return found


def _row_weights(data: LabelledData, *, balanced: bool) -> Doubles:
    """Returns (rows, labels) weights of the rows in the model of each label, the same as in the transformer's loss."""
    flags = label_flags(data.train.targets, data.task, len(data.labels))
    if not balanced:
        return np.ones(flags.shape)
    weights = balanced_weights(data.train.targets, data.task, len(data.labels)).numpy().astype(np.float64)
    if data.task == "single_label":
        return np.broadcast_to(weights[data.train.targets][:, None], flags.shape)
    return np.where(flags, weights, 1.0)


def _best(
    family: _Family,
    features: Mapping[str, Matrices],
    weights: Doubles,
    data: LabelledData,
    advance: Callable[[], None],
) -> Baseline:
    """Selects n-grams, then the parameter, on the validation split; evaluates only that setting on the test split.

    Settings are tried on at most `MAX_TUNING_ROWS` random rows of the training split; the selected one is fitted to all
    rows. `advance` is called after each fit.
    """
    metric, found = METRICS[data.task][0], {}
    every = np.arange(len(weights))
    some = np.sort(np.random.default_rng(0).permutation(every)[:MAX_TUNING_ROWS])

    def fit(setting: tuple[str, float], rows: Integers) -> _Fitted:
        kind, value = setting
        margins = _margins(partial(family.build, value), features[kind], rows, weights, data)
        thresholds = None
        if data.task == "multi_label":
            thresholds = learn_thresholds(expit(margins["validation"]), data.validation.targets)
        predicted = {name: _predicted(items, thresholds) for name, items in margins.items()}
        advance()
        return _Fitted(quality(predicted["validation"], data.validation.targets, data.task), predicted["test"])

    def tried(kind: str, value: float) -> float:
        found[kind, value] = fit((kind, value), some)
        return found[kind, value].validation[metric]

    first, *others = family.values
    kind = max(features, key=lambda kind: tried(kind, first))
    for value in others:
        tried(kind, value)
    best = max(found, key=lambda setting: found[setting].validation[metric])
    final = found[best] if len(some) == len(every) else fit(best, every)
    test = quality(final.predicted, data.test.targets, data.task)
    qualities = label_quality(final.predicted, data.test.targets, data.task, len(data.labels))
    labels = dict(zip(data.labels, qualities, strict=True))
    return Baseline(f"{best[0]}, {family.parameter}={best[1]:g}", final.validation, test, final.predicted, labels)


def _predicted(margins: Doubles, thresholds: Sequence[float] | None) -> Integers:
    if thresholds is None:
        return np.asarray(margins.argmax(axis=1), np.int64)
    return np.asarray(expit(margins) >= np.array(thresholds), np.int64)


def _margins(
    build: Callable[[], Any],
    matrices: Matrices,
    rows: Integers,
    weights: Doubles,
    data: LabelledData,
) -> dict[str, Doubles]:
    """Fits a one-vs-rest model for each label to some training rows.

    The models are fitted one after the other: two threads on the same matrix crashed in one of four runs
    (docs/experiments.md).

    Returns:
        (texts, labels) float64 margins for validation and test split: above 0 the label is more probable than not;
        infinite for a label that all of these rows have, or none.
    """
    flags = label_flags(data.train.targets[rows], data.task, len(data.labels))
    matrix = matrices["train"][rows]
    found = {name: np.empty((matrices[name].shape[0], len(data.labels))) for name in ("validation", "test")}

    for label, flag in enumerate(flags.T):
        if flag.all() or not flag.any():
            for margins in found.values():
                margins[:, label] = np.inf if flag.all() else -np.inf
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a model that has not converged is evaluated as it is
            model = build().fit(matrix, flag, sample_weight=weights[rows, label])
        for name, margins in found.items():
            margins[:, label] = _margin(model, matrices[name])
    return found


def _margin(model: Any, matrix: csr_matrix) -> Doubles:
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(matrix), np.float64)
    return np.asarray(model.predict_log_proba(matrix) @ [-1.0, 1.0], np.float64)
