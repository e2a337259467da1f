"""Simple models on the same rows: what a transformer has to beat. TF-IDF of words and pairs with four linear models."""

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from .data import LabelledData
from .decisions import learn_thresholds
from .labels import Task
from .metrics import quality

WORD = r"(?u)\b\w+\b"  # a Chinese character is a word, too

logger = logging.getLogger(__name__)


def judge_baselines(data: LabelledData, clean: Callable[[str], str], *, seed: int) -> dict[str, dict[str, float]]:
    """Fits each on the training part and judges it on the test part.

    Multi-label thresholds are learned on the validation part, as they are for the transformer.

    Args:
        data: The data set, split.
        clean: What the transformer's tokenizer does to a text first.
        seed: Of the linear SVM.

    Returns:
        Name -> figures as `metrics.quality` gives them.
    """
    texts = {name: [clean(text) for text in part.texts] for name, part in data.parts.items()}
    found = {}
    for name, pipeline in _pipelines(data.task, seed).items():
        try:
            found[name] = _judge(pipeline, texts, data)
        except ValueError as error:  # one label alone, or texts without a word
            logger.warning("%s: not possible on this data: %s", name, str(error).partition("\n")[0])
    return found


def _pipelines(task: Task, seed: int) -> dict[str, Pipeline]:
    """Returns the unfitted models; for multi-label one of each per label."""
    models: dict[str, Any] = {
        "TF-IDF, logistic regression": LogisticRegression(C=10, max_iter=1000),
        "TF-IDF, linear SVM": LinearSVC(random_state=seed),
        "TF-IDF, ridge": RidgeClassifier(),
        "TF-IDF, naive Bayes": ComplementNB(),
    }
    return {
        name: make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD),
            model if task == "single_label" else OneVsRestClassifier(model),
        )
        for name, model in models.items()
    }


def _judge(pipeline: Pipeline, texts: dict[str, list[str]], data: LabelledData) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Label .* is present in all", UserWarning)  # always or never given then
        pipeline.fit(texts["train"], data.train.targets.astype(np.int64))
    if data.task == "single_label":
        decided = pipeline.predict(texts["test"])
    else:
        thresholds = learn_thresholds(_scores(pipeline, texts["validation"]), data.validation.targets)
        decided = (_scores(pipeline, texts["test"]) >= thresholds).astype(np.int64)
    return quality(decided, data.test.targets, data.task)


def _scores(pipeline: Pipeline, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Returns (texts, labels) scores from 0 to 1; margins are squeezed, which keeps their order."""
    if hasattr(pipeline[-1].estimator, "predict_proba"):
        return np.asarray(pipeline.predict_proba(texts), np.float64)
    return np.asarray(expit(pipeline.decision_function(texts)), np.float64)
