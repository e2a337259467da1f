"""What several tests of training start from; never changed."""

from pathlib import Path

import pytest

from ..models import bert, write_checkpoint
from .runs import CLEANING, easy_rows, train, write_rows


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random encoder to start from."""
    return write_checkpoint(tmp_path_factory.mktemp("encoder") / "encoder", bert("single_label"))


@pytest.fixture(scope="session")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of easy rows."""
    return write_rows(tmp_path_factory.mktemp("easy") / "train.csv", easy_rows())


@pytest.fixture(scope="session")
def trained(encoder: Path, easy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint trained on the easy rows, with baselines, abstaining and a cleaning step."""
    folder = tmp_path_factory.mktemp("trained") / "checkpoint"
    options = ["--baselines", "--target_precision", "0.9", *CLEANING]
    assert train(encoder, easy, folder, "--label_columns", "label", *options) == 0
    return folder
