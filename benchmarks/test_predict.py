"""pytest-benchmark suite for `predict`: `make bench`, or `python -m pytest benchmarks --benchmark-compare`.

It uses all-MiniLM-L6 with an untrained head, as speed does not depend on the weights. No test asserts a time. Compare
figures only with figures of the same machine.
"""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from export.__main__ import main as export
from runtime import Classifier, load
from training.arguments import DataArguments, EncoderArguments
from training.data.dataset import load_data
from training.model.encoder import load_model, load_tokenizer

DATA = load_data(DataArguments(dataset="wisconsin"))
TEXTS = DATA.test.texts


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged encoder exported as int8. The quality gate is open, because the head is untrained."""
    folder = tmp_path_factory.mktemp("benchmark")
    encoder = EncoderArguments()
    load_model(encoder, DATA.labels, DATA.task).model.save_pretrained(folder / "checkpoint")
    load_tokenizer(encoder).save_pretrained(folder / "checkpoint")
    (folder / "texts.txt").write_text("\n".join(DATA.train.texts[:32]), "utf-8")
    calibration = ["--calibration", str(folder / "texts.txt"), "--calibration-texts", "16", "--min-agreement", "0"]
    assert export([str(folder / "checkpoint"), str(folder / "artifact"), "--variants", "int8", *calibration]) == 0
    return folder / "artifact"


@pytest.fixture(scope="session")
def classifier(artifact: Path) -> Classifier:
    """The loaded artifact."""
    return load(artifact, provider="cpu", variant="int8")


def test_load(benchmark: BenchmarkFixture, artifact: Path) -> None:
    """Loading a folder, with every hash checked."""
    assert benchmark(load, artifact, provider="cpu").labels


@pytest.mark.parametrize("words", [6, 30, 126, 254])
def test_predict_length(benchmark: BenchmarkFixture, classifier: Classifier, words: int) -> None:
    """Predicting one text of this many one-token words."""
    prediction = benchmark(classifier.predict, " ".join(["the"] * words))
    assert prediction.n_tokens == words + 2


def test_predict_real_text(benchmark: BenchmarkFixture, classifier: Classifier) -> None:
    """Predicting one report of the embedded data set."""
    assert benchmark(classifier.predict, TEXTS[0]).label


def test_predict_many(benchmark: BenchmarkFixture, classifier: Classifier) -> None:
    """Predicting thirty-two reports at once."""
    assert len(benchmark(classifier.predict_many, TEXTS[:32])) == 32


def test_tokenize(benchmark: BenchmarkFixture, classifier: Classifier) -> None:
    """Tokenizing the text of `test_predict_real_text`."""
    assert benchmark(classifier._tokenizer.encode, TEXTS[0])  # noqa: SLF001 - its share is what is measured
