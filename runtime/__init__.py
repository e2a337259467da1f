"""Litmus runtime: classify texts with a fast tokenizer and one onnxruntime session.

    from runtime import load

    classifier = load("artifact")
    print(classifier.predict("Margins are irregular and the nuclei are large.").label)

Needs the standard library, numpy, tokenizers and onnxruntime, and imports nothing else.
"""

from .classifier import Classifier, load
from .decision.explanation import Explanation, Word
from .decision.prediction import Prediction, WindowScores
from .errors import (
    ArtifactError,
    ArtifactNotFoundError,
    DeadlineError,
    DependencyError,
    InferenceError,
    InputError,
    LitmusError,
    OverloadError,
    ProviderError,
    SettingError,
    TextError,
    TextTypeError,
)
from .jobs.row_scorer import RowScorer
from .version import __version__

__all__ = [
    "ArtifactError",
    "ArtifactNotFoundError",
    "Classifier",
    "DeadlineError",
    "DependencyError",
    "Explanation",
    "InferenceError",
    "InputError",
    "LitmusError",
    "OverloadError",
    "Prediction",
    "ProviderError",
    "RowScorer",
    "SettingError",
    "TextError",
    "TextTypeError",
    "WindowScores",
    "Word",
    "__version__",
    "load",
]
