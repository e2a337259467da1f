"""The embedded data set: real cases, honest texts."""

import re

import numpy as np
from sklearn.metrics import accuracy_score

from training.arguments import DataArguments
from training.data import wisconsin
from training.data.dataset import load_data


def test_reports_are_the_same_every_time() -> None:
    """The generator is seeded, so the fingerprint of the data set is the same in every run."""
    assert wisconsin.cases().reports == wisconsin.cases().reports


def test_wording_varies() -> None:
    """The 569 reports are all different and have several openings."""
    reports = wisconsin.cases().reports
    assert len(set(reports)) == 569
    assert {report.split(".")[0] + "." for report in reports} == set(wisconsin.OPENINGS) | {
        "Aspirate from the breast; nuclei measured."
    }


def test_reports_never_name_the_diagnosis() -> None:
    """The reports contain neither a label nor a word for one."""
    words = {word for report in wisconsin.cases().reports for word in re.findall("[a-z]+", report.lower())}
    assert not words & {"malignant", "benign", "cancer", "carcinoma", "tumor", "tumour", "suspicious", "positive"}


def test_every_measurement_is_in_the_report() -> None:
    """A report has thirty numbers with three significant digits, small ones in thousandths."""
    cases = wisconsin.cases()
    for report, values in list(zip(cases.reports, cases.measurements, strict=True))[:50]:
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", report)]
        scale = np.where(np.arange(30) % 10 >= 4, 1000, 1)
        expected = sorted(float(f"{value:.3g}") for value in values * scale)
        assert sorted(numbers) == expected


def test_wording_does_not_know_the_label() -> None:
    """Swapped diagnoses give the same reports."""
    source = wisconsin.load_breast_cancer()
    original = wisconsin.load_breast_cancer
    source.target = 1 - source.target
    try:
        wisconsin.load_breast_cancer = lambda: source
        swapped = wisconsin.cases()
    finally:
        wisconsin.load_breast_cancer = original
    assert swapped.reports == wisconsin.cases().reports
    assert not np.array_equal(swapped.targets, wisconsin.cases().targets)


def test_split_is_stratified() -> None:
    """Each split has the data set's share of malignant cases."""
    data = load_data(DataArguments(dataset="wisconsin"))
    shares = [float(np.mean(split.targets == 0)) for split in data.splits.values()]
    assert max(shares) - min(shares) < 0.02
    assert data.labels == ("malignant", "benign")


def test_logistic_regression_is_a_real_ceiling() -> None:
    """A logistic regression on the raw measurements predicts nearly every test case correctly."""
    data = load_data(DataArguments(dataset="wisconsin"))
    decided = wisconsin.logistic_regression(data.train.rows, data.test.rows)
    assert accuracy_score(data.test.targets, decided) > 0.93
