"""Checkpoints trained on a data set, and their artifacts. Each is made once per session and never changed."""

from pathlib import Path

import pytest

from export.__main__ import main as export
from training.__main__ import main as train

from ..models import bert, write_checkpoint


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A small encoder's checkpoint, trained for one epoch on the embedded data set, and its artifact."""
    return _train(tmp_path_factory.mktemp("wisconsin"), "--dataset", "wisconsin")


@pytest.fixture(scope="session")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """As `trained`, with a cleaning step, on texts of 2 to 31 words in no order, 24 of them in the test split."""
    folder = tmp_path_factory.mktemp("ragged")
    rows = [f"{'glad' if n % 2 else 'sad'} {'late ' * (1 + n * 7 % 30)},{n % 2}\n" for n in range(120)]
    (folder / "rows.csv").write_text("text,label\n" + "".join(rows))
    columns = ["--text_columns", "text", "--label_columns", "label", "--cleaning", "squeeze_spaces"]
    return _train(folder, "--train_file", str(folder / "rows.csv"), *columns)


def _train(folder: Path, *data: str) -> tuple[str, str]:
    encoder = write_checkpoint(folder / "encoder", bert("single_label"))
    checkpoint, artifact = str(folder / "checkpoint"), str(folder / "artifact")
    options = ["--num_train_epochs", "1", "--disable_tqdm", "true", "--learning_rate", "1e-2"]
    model = ["--model_name_or_path", str(encoder), "--max_length", "48", "--output_dir", checkpoint]
    assert train([*data, *model, *options]) == 0
    assert export([checkpoint, artifact, "--min-agreement", "0", "--max-metric-drop", "1"]) == 0
    return checkpoint, artifact
