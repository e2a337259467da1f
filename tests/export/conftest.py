"""Exports every model family once."""

import contextlib
import functools
import io
from collections.abc import Callable

import pytest
from transformers import AutoModelForSequenceClassification

from export.__main__ import main

from ..models import FP32, families, write_checkpoint
from .families import PATHS, Exported


@pytest.fixture(scope="session")
def export_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports a family once per session; families that can be fused have to be."""

    @functools.cache
    def exported(family: str) -> Exported:
        folder = tmp_path_factory.mktemp(family)
        checkpoint = write_checkpoint(folder / "checkpoint", families()[family])
        require = ["--require-fused"] if PATHS[family][0] == "fused" else []
        with contextlib.redirect_stderr(io.StringIO()) as log:
            assert main([str(checkpoint), str(folder / "artifact"), *require, *FP32]) == 0, log.getvalue()
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
        return Exported(family, checkpoint, folder / "artifact", log.getvalue(), model)

    return exported


@pytest.fixture(scope="session", params=PATHS)
def exported(request: pytest.FixtureRequest, export_family: Callable[[str], Exported]) -> Exported:
    """Yields each exported family in turn."""
    return export_family(request.param)
