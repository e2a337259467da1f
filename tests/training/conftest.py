"""What several tests of training start from; never changed."""

from pathlib import Path

import pytest

from ..models import bert, write_checkpoint
from ..shared import SharedFolders
from .runs import CLEANING, easy_rows, train, write_rows


@pytest.fixture(scope="session")
def encoder(shared: SharedFolders) -> Path:
    """A small random encoder to start from."""
    return shared.make("encoder", lambda folder: write_checkpoint(folder, bert("single_label")))


@pytest.fixture(scope="session")
def easy(shared: SharedFolders) -> Path:
    """A file of easy rows."""
    return shared.make("easy", lambda folder: write_rows(folder / "train.csv", easy_rows())) / "train.csv"


@pytest.fixture(scope="session")
def trained(encoder: Path, easy: Path, shared: SharedFolders) -> Path:
    """A checkpoint trained on the easy rows, with baselines, abstaining and a cleaning step."""

    def fill(folder: Path) -> None:
        options = ["--baselines", "--target_precision", "0.9", *CLEANING]
        assert train(encoder, easy, folder, "--label_columns", "label", *options) == 0

    return shared.make("trained", fill)
