"""Artifacts that many tests share, and the order of the tests."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .shared import SharedFolders

# Fixtures import torch where they need it: with pytest-xdist the first process runs no test and starts seconds sooner.
if TYPE_CHECKING:
    from runtime import Classifier

os.environ["HF_HUB_OFFLINE"] = "1"
# Several processes test at once, and the models are too small to gain from more threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The background of a script ignores Ctrl-C, and commands that the tests start and interrupt would ignore it as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = ("slow", "fuzz", "registry")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves files with slow tests to the front, so that no process is left with one at the end."""
    slow = {item.path for item in items if any(item.get_closest_marker(name) for name in SLOW)}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SharedFolders:
    """Folders that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return SharedFolders((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared")


@pytest.fixture(scope="module", autouse=True)
def _shared_folders_do_not_change(shared: SharedFolders) -> Iterator[None]:
    """Fails after a test file that changed a shared folder."""
    yield
    assert shared.changed() == []


@pytest.fixture(scope="session")
def torch_traces_once(shared: SharedFolders) -> Iterator[None]:
    """Makes every export of a model use the graph that torch traced for the first one."""
    import torch

    from .traces import traced_once

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", traced_once(torch.onnx.export, shared))
        yield


@pytest.fixture(scope="session")
def checkpoint(shared: SharedFolders) -> Path:
    """A small random BERT with three labels, one per text."""
    from .models import bert, write_checkpoint

    return shared.make("checkpoint", lambda folder: write_checkpoint(folder, bert("single_label")))


@pytest.fixture(scope="session")
def artifact(checkpoint: Path, torch_traces_once: None, shared: SharedFolders) -> Path:
    """The `checkpoint` exported in fp32."""
    return shared.make("artifact", lambda folder: export_to(checkpoint, folder, "--variants", "fp32"))


@pytest.fixture(scope="session")
def int8_artifact(checkpoint: Path, torch_traces_once: None, shared: SharedFolders) -> Path:
    """The `checkpoint` exported in fp32, static int8 and fp16, with a quality gate that always passes."""

    def fill(folder: Path) -> None:
        texts = folder.with_name("int8_texts.txt")
        texts.write_text("\n".join(f"train {index} was {'late ' * (1 + index % 9)}" for index in range(32)))
        loose = ["--min-agreement", "0", "--max-metric-drop", "1", "--variants", "fp32", "int8", "fp16"]
        export_to(checkpoint, folder, "--calibration", str(texts), *loose)

    return shared.make("int8_artifact", fill)


def export_to(checkpoint: Path, folder: Path, *options: str) -> None:
    """Exports a checkpoint to an empty folder."""
    from export.__main__ import main

    folder.rmdir()
    assert main([str(checkpoint), str(folder), *options]) == 0


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    """A copy of `artifact`, for a test that damages it."""
    return Path(shutil.copytree(artifact, tmp_path / "copy"))


@pytest.fixture
def int8_copy(int8_artifact: Path, tmp_path: Path) -> Path:
    """A copy of `int8_artifact`, for a test that damages it."""
    return Path(shutil.copytree(int8_artifact, tmp_path / "copy"))


@pytest.fixture(scope="session")
def multi_label_checkpoint(shared: SharedFolders) -> Path:
    """A small random DistilBERT with four labels, any number per text, and a cleaning step in its tokenizer."""
    from .models import distilbert, write_checkpoint

    config, cleaning = distilbert("multi_label"), (r"drop:(?i)\bdoctor:", "squeeze_spaces")
    return shared.make("multi_label_checkpoint", lambda folder: write_checkpoint(folder, config, cleaning=cleaning))


@pytest.fixture(scope="session")
def multi_label_artifact(multi_label_checkpoint: Path, torch_traces_once: None, shared: SharedFolders) -> Path:
    """The `multi_label_checkpoint` exported in fp32."""
    options = ("--variants", "fp32")
    return shared.make("multi_label_artifact", lambda folder: export_to(multi_label_checkpoint, folder, *options))


@pytest.fixture(scope="session")
def classifier(artifact: Path) -> "Classifier":
    """A classifier of the single-label `artifact`."""
    from runtime import load

    return load(artifact, provider="cpu", threads=1)
