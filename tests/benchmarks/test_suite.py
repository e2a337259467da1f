"""`make bench`: the pytest-benchmark suite runs, each function once; how fast is not asked here."""

import subprocess
import sys

from benchmarks.harness.catalog import ROOT


def test_every_benchmark_runs() -> None:
    """They use training's and export's own functions, which change."""
    line = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-disable", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
