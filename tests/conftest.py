"""Artifacts that many tests share: exported once, never changed."""

import os
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
