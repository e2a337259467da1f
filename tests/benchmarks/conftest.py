"""Checkpoints trained on a data set, and their artifacts. Each is made once per session and never changed."""

from pathlib import Path

import pytest

from export.__main__ import main as export
from training.__main__ import main as train

from ..models import bert, write_checkpoint
from ..shared import SharedFolders


@pytest.fixture(scope="session")
def trained(torch_traces_once: None, shared: SharedFolders) -> tuple[str, str]:
    """A checkpoint trained for one epoch on the embedded data set with a small encoder, and its artifact."""
    return _paths(shared.make("benchmarks", lambda folder: _train(folder, "--dataset", "wisconsin")))


@pytest.fixture(scope="session")
def ragged(torch_traces_once: None, shared: SharedFolders) -> tuple[str, str]:
    """As `trained`, with a cleaning step, on texts of 2 to 31 words in no order, 24 of them in the test split."""

    def fill(folder: Path) -> None:
        rows = [f"{'glad' if n % 2 else 'sad'} {'late ' * (1 + n * 7 % 30)},{n % 2}\n" for n in range(120)]
        (folder / "rows.csv").write_text("text,label\n" + "".join(rows))
        columns = ["--text_columns", "text", "--label_columns", "label", "--cleaning", "squeeze_spaces"]
        _train(folder, "--train_file", str(folder / "rows.csv"), *columns)

    return _paths(shared.make("benchmarks_ragged", fill))


def _paths(folder: Path) -> tuple[str, str]:
    return str(folder / "checkpoint"), str(folder / "artifact")


def _train(folder: Path, *data: str) -> None:
    encoder = write_checkpoint(folder / "encoder", bert("single_label"))
    checkpoint, artifact = _paths(folder)
    options = ["--num_train_epochs", "1", "--disable_tqdm", "true", "--learning_rate", "1e-2"]
    model = ["--model_name_or_path", str(encoder), "--max_length", "48", "--output_dir", checkpoint]
    assert train([*data, *model, *options]) == 0
    assert export([checkpoint, artifact, "--min-agreement", "0", "--max-metric-drop", "1"]) == 0
