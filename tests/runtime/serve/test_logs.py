"""The log writes what it is given as JSON."""

import json

import pytest

from runtime.serve.logs import logger


@pytest.mark.parametrize("value", ["late", "\udcff", "a\nb"])
def test_every_line_is_json(capfdbinary: pytest.CaptureFixture[bytes], value: str) -> None:
    """A value that is not UTF-8, such as a path, or has a line break, still makes one line of JSON."""
    logger().error("event", error=value)
    (line,) = capfdbinary.readouterr().err.splitlines()
    assert json.loads(line)["error"] == value
