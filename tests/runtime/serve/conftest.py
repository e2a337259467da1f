"""One server for the tests that do not change it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Server


@pytest.fixture(scope="package")
def server(int8_artifact: Path) -> Iterator[Server]:
    """A server over `int8_artifact`, with small limits."""
    options = ("--variant", "int8", "--name", "notes", "--max-body-bytes", "20000", "--max-texts", "40")
    with Server(int8_artifact, *options, "--max-wait-ms", "30000") as running:
        yield running


@pytest.fixture(scope="package")
def multi_label_server(multi_label_artifact: Path) -> Iterator[Server]:
    """A server over `multi_label_artifact` that repeats the texts."""
    with Server(multi_label_artifact, "--echo-input") as running:
        yield running
