"""Artifacts that many tests share: exported once, never changed."""

import os
import shutil
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

from export.__main__ import main as export
from runtime import Classifier, load

from .models import FP32, bert, distilbert, write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT with three labels, one per text."""
    return write_checkpoint(tmp_path_factory.mktemp("single") / "checkpoint", bert("single_label"))


@pytest.fixture(scope="session")
def artifact(checkpoint: Path) -> Path:
    """The exported `checkpoint`."""
    folder = checkpoint.parent / "artifact"
    assert export([str(checkpoint), str(folder), *FP32]) == 0
    return folder


@pytest.fixture(scope="session")
def int8_artifact(checkpoint: Path) -> Path:
    """The exported `checkpoint` in fp32, static int8 and fp16, whatever they cost a model that has learned nothing."""
    texts, folder = checkpoint.parent / "texts.txt", checkpoint.parent / "int8"
    texts.write_text("\n".join(f"train {index} was {'late ' * (1 + index % 9)}" for index in range(32)))
    loose = ["--min-agreement", "0", "--max-metric-drop", "1", "--variants", "fp32", "int8", "fp16"]
    assert export([str(checkpoint), str(folder), "--calibration", str(texts), *loose]) == 0
    return folder


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    """The exported `checkpoint`, for a test that damages it."""
    return Path(shutil.copytree(artifact, tmp_path / "copy"))


@pytest.fixture
def int8_copy(int8_artifact: Path, tmp_path: Path) -> Path:
    """`int8_artifact`, for a test that damages it."""
    return Path(shutil.copytree(int8_artifact, tmp_path / "copy"))


@pytest.fixture(scope="session")
def multi_label_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random DistilBERT with four labels, any number per text, and a cleaning step in its tokenizer."""
    folder = tmp_path_factory.mktemp("multi") / "checkpoint"
    return write_checkpoint(folder, distilbert("multi_label"), cleaning=(r"drop:(?i)\bdoctor:", "squeeze_spaces"))


@pytest.fixture(scope="session")
def multi_label_artifact(multi_label_checkpoint: Path) -> Path:
    """The exported `multi_label_checkpoint`."""
    folder = multi_label_checkpoint.parent / "artifact"
    assert export([str(multi_label_checkpoint), str(folder), *FP32]) == 0
    return folder


@pytest.fixture(scope="session")
def classifier(artifact: Path) -> Classifier:
    """The single-label artifact, loaded."""
    return load(artifact, provider="cpu", threads=1)
