"""A contender is prepared in one process and measured in a fresh one, whose start and memory are its own."""

import ast
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from benchmarks.harness import worker
from benchmarks.harness.catalog import CONTENDERS, ContenderSpec
from benchmarks.harness.environments import ROOT
from benchmarks.harness.protocol import LoadRequest
from benchmarks.harness.runner import Contender, Measured, run_interleaved

STEP_S = 0.3
BIG_MB = 100

MODULE = f"""
import os, pathlib, time

time.sleep({STEP_S})

def prepare(request):
    time.sleep(3 * {STEP_S})
    bytearray({2 * BIG_MB}_000_000)
    (pathlib.Path(request.work_dir) / "process").write_text(str(os.getpid()))

def load(request):
    time.sleep({STEP_S})
    prepared_by = float((pathlib.Path(request.work_dir) / "process").read_text())
    slow = [{STEP_S}]

    def scores(texts):
        time.sleep(slow.pop() if slow else 0)
        for text in texts:
            if text == "memory":
                bytearray(b"x") * {BIG_MB}_000_000
        return [[prepared_by, float(os.getpid())] for _ in texts]

    return scores
"""


def measure(batch: list[str], scored: list[str]) -> Measured:
    """Measures the contender above on one batch."""
    measured, failures = run_interleaved(
        {"two steps": ContenderSpec("two_steps", prepares=True)},
        {"one": [batch]},
        rounds=2,
        model="",
        checkpoint="",
        threads=1,
        calibration=[],
        scored=scored,
    )
    assert failures == {}
    return measured["two steps"]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contender above, where the processes find it."""
    (tmp_path / "two_steps.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_prepared_in_a_process_that_has_ended() -> None:
    """`prepare` runs in a process of its own, which has ended, and `load` finds its files."""
    ((prepared_by, loaded_by),) = measure(["late"], ["late"]).scores
    assert prepared_by != loaded_by
    with pytest.raises(ProcessLookupError):
        os.kill(int(prepared_by), 0)


def test_start_is_without_preparation() -> None:
    """The start has the imports, the load and the first prediction, which is of one text, and not the preparation."""
    measured = measure(["late"], [])
    assert measured.prepare_s is not None
    assert measured.prepare_s >= 4 * STEP_S
    assert measured.start_s >= 3 * STEP_S
    assert sum(map(sum, measured.latencies_ms["one"])) < STEP_S * 1000  # the slow first prediction is in no round


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which only Linux has")
def test_memory_is_read_after_the_rounds() -> None:
    """The peak has what the rounds allocated, and neither the preparation nor the texts scored afterwards."""
    plain, big = measure(["late"], ["memory"]).memory_mb, measure(["late", "memory"], []).memory_mb
    assert plain is not None
    assert big is not None
    assert plain["resident"] <= plain["peak"] < BIG_MB
    assert big["peak"] - plain["peak"] == pytest.approx(BIG_MB, abs=BIG_MB / 4)
    assert big["resident"] < BIG_MB


def test_contender_that_waits_is_stopped(tmp_path: Path) -> None:
    """Between two requests the process is stopped, so that its threads take no CPU time from others."""
    spec = ContenderSpec("two_steps")
    (tmp_path / "process").write_text("0")
    request = LoadRequest("", "", 1, "", [], str(tmp_path))
    with Contender("two steps", spec, 1) as contender:
        contender.load(request)
        ((_, process),) = contender.score([["late"]])
        deadline = time.monotonic() + 5
        while psutil.Process(int(process)).status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.01)
        assert psutil.Process(int(process)).status() == psutil.STATUS_STOPPED
        assert contender.score([["late"]]) == [[0.0, process]]
    assert not psutil.pid_exists(int(process))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a stopped process with its parent")
def test_stopped_contender_ends_with_its_parent(tmp_path: Path) -> None:
    """A contender does not stay behind if the benchmark is killed while the contender is stopped."""
    (tmp_path / "process").write_text("0")
    code = (
        "import time\n"
        "from benchmarks.harness.catalog import ContenderSpec\n"
        "from benchmarks.harness.protocol import LoadRequest\n"
        "from benchmarks.harness.runner import Contender\n"
        "contender = Contender('two steps', ContenderSpec('two_steps'), 1)\n"
        f"contender.load(LoadRequest('', '', 1, '', [], {str(tmp_path)!r}))\n"
        "print(int(contender.score([['late']])[0][1]), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def test_without_proc_there_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without /proc the memory is None."""
    monkeypatch.setattr(worker, "STATUS", tmp_path / "none")
    assert worker._memory_mb() is None


@pytest.mark.parametrize("name", CONTENDERS)
def test_catalog_knows_who_prepares(name: str) -> None:
    """The catalog says whether a contender's module has a function `prepare`, as only its environment can import it."""
    found = find_spec(CONTENDERS[name].module)
    assert found is not None
    assert found.origin is not None
    names: set[str] = set()
    for node in ast.parse(Path(found.origin).read_text()).body:
        names |= {node.name} if isinstance(node, ast.FunctionDef) else set()
        names |= {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
    assert "load" in names
    assert ("prepare" in names) == CONTENDERS[name].prepares
