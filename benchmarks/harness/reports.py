"""Reads and writes reports as JSON."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import DataError

# A list of numbers over several lines. No line ends inside a JSON string, so nothing else looks like one.
NUMBERS = re.compile(r"\[\n([-+.,e\d\s]+)\]")
WITHOUT_RESULTS = ("footprint", "service")  # reports on Litmus alone, or with sections of their own


def to_json(report: Mapping[str, Any]) -> str:
    """Returns a report as JSON, with every list of numbers on one line, because a latency report has thousands."""
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", json.dumps(report, indent=2)) + "\n"


def read_report(path: Path, kind: str) -> dict[str, Any]:
    """Reads a report that an earlier run wrote.

    Raises:
        DataError: It is no report, or one of another kind.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found, _ = report["kind"], report["settings" if kind in WITHOUT_RESULTS else "results"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a report; make one with: python -m benchmarks {kind} --output FILE") from error
    if found != kind:
        raise DataError(f"{path} is a report of another kind: expected {kind}, found {found}")
    return report
