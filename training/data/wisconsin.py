"""The embedded data set: Breast Cancer Wisconsin (Diagnostic), written as short pathology-style reports.

The 569 cases and their 30 measurements are real (Street, Wolberg and Mangasarian 1993; part of scikit-learn): mean,
standard error and worst value of ten features of the cell nuclei. A seeded generator writes a report of each case.
Every measurement appears as a number, small ones in thousandths; means and worst values also as a grade. Grades are
quintiles of the 569 values of a measurement. Neither grades nor wording depend on the diagnosis.
"""

from dataclasses import dataclass
from random import Random

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..arrays import Doubles, Integers

SEED = 20261122
FEATURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
IN_THOUSANDTHS = FEATURES[4:]
GRADES = (
    ("very low", "tiny", "minimal"),
    ("low", "small", "slight"),
    ("average", "medium", "moderate"),
    ("high", "large", "marked"),
    ("very high", "huge", "extreme"),
)
OPENINGS = (
    "Fine needle aspirate, breast mass.",
    "Breast mass, digitized aspirate.",
    "Cytology of a breast lump.",
    "Aspirate from the breast; nuclei measured.",
)
SENTENCES = (
    "{feature} {grade}, {mean} (se {error}); worst {worst}, {worst_grade}.",
    "{feature}: {mean}, {grade}; worst {worst}, {worst_grade}; se {error}.",
    "{grade} {feature} {mean}, {worst_grade} worst {worst}, se {error}.",
)


@dataclass(frozen=True)
class Cases:
    """The data set.

    Attributes:
        reports: One text per case.
        measurements: (569, 30) float64: ten means, ten standard errors, ten worst values.
        targets: (569,) int64 indices into `labels`.
        labels: Diagnoses.
    """

    reports: tuple[str, ...]
    measurements: Doubles
    targets: Integers
    labels: tuple[str, ...]


def cases() -> Cases:
    """Loads the measurements and generates the reports, the same in every run."""
    source = load_breast_cancer()
    measurements = np.asarray(source.data, np.float64)
    fifths = np.quantile(measurements, (0.2, 0.4, 0.6, 0.8), axis=0)
    grades = (measurements[:, None, :] > fifths).sum(axis=1)
    random = Random(SEED)  # noqa: S311 - wording, not secrets
    reports = tuple(_report(values, row, random) for values, row in zip(measurements, grades, strict=True))
    labels = tuple(str(name) for name in source.target_names)
    return Cases(reports, measurements, source.target.astype(np.int64), labels)


def logistic_regression(train: Integers, test: Integers) -> Integers:
    """Predicts test cases from the raw measurements: an upper bound for models that read the reports.

    Args:
        train: (train,) int64 case numbers to fit on.
        test: (test,) int64 case numbers to predict.

    Returns:
        (test,) int64 label indices.
    """
    known = cases()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(known.measurements[train], known.targets[train])
    return np.asarray(model.predict(known.measurements[test]), np.int64)


def _report(values: Doubles, grades: Integers, random: Random) -> str:
    """Writes the report of one case: an opening and a sentence per feature, in random wording."""
    sentences = [random.choice(OPENINGS)]
    for index, feature in enumerate(FEATURES):
        scale = 1000 if feature in IN_THOUSANDTHS else 1
        mean, error, worst = (_number(scale * values[index + offset]) for offset in (0, 10, 20))
        grade, worst_grade = (random.choice(GRADES[grades[index + offset]]) for offset in (0, 20))
        sentence = random.choice(SENTENCES)
        words = {"feature": feature, "mean": mean, "error": error, "worst": worst}
        sentences.append(sentence.format(grade=grade, worst_grade=worst_grade, **words))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _number(value: float) -> str:
    """Formats a number with three significant digits and no exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, unique=False, trim="-")
