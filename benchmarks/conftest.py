"""What the suite of `make bench` runs on: all-MiniLM-L6 with an untrained head, as speed does not depend on weights."""

from pathlib import Path

import pytest

from export.__main__ import main as export
from runtime import Classifier, load
from training.arguments import DataArguments, EncoderArguments
from training.data.dataset import load_data
from training.model.encoder import load_model, load_tokenizer

DATA = load_data(DataArguments(dataset="wisconsin"))


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


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    """Real texts."""
    return DATA.test.texts
