"""Exports every model family once."""

import contextlib
import functools
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from export.__main__ import main

from ..models import FP32, families, write_checkpoint
from ..shared import SharedFolders
from .families import PATHS, Exported


@pytest.fixture(scope="session", autouse=True)
def _torch_traces_once(torch_traces_once: None) -> None:
    """Applies to all tests of the export."""


@pytest.fixture(scope="session")
def export_family(shared: SharedFolders) -> Callable[[str], Exported]:
    """Exports a family once per session; families that can be fused have to be."""

    @functools.cache
    def exported(family: str) -> Exported:
        folder = shared.make(family, functools.partial(_export, family))
        model = AutoModelForSequenceClassification.from_pretrained(folder / "checkpoint").eval()
        log = (folder / "log").read_text("utf-8")
        return Exported(family, folder / "checkpoint", folder / "artifact", log, model)

    return exported


def _export(family: str, folder: Path) -> None:
    checkpoint = write_checkpoint(folder / "checkpoint", families()[family])
    require = ["--require-fused"] if PATHS[family][0] == "fused" else []
    with contextlib.redirect_stderr(io.StringIO()) as log:
        assert main([str(checkpoint), str(folder / "artifact"), *require, *FP32]) == 0, log.getvalue()
    (folder / "log").write_text(log.getvalue(), "utf-8")


@pytest.fixture(scope="session", params=PATHS)
def exported(request: pytest.FixtureRequest, export_family: Callable[[str], Exported]) -> Exported:
    """Yields each exported family in turn."""
    return export_family(request.param)
