"""The pytest-benchmark suite of `make bench` runs, each benchmark once and untimed."""

import subprocess
import sys

import pytest

from benchmarks.harness.environments import ROOT

pytestmark = pytest.mark.slow


def test_every_benchmark_runs() -> None:
    """Every benchmark of the suite passes with the current functions of training and export."""
    line = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-disable", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
