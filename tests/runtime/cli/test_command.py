"""How a command ends: one line for what went wrong, and nothing that libraries print beside it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, sys
from runtime import InputError
from runtime.cli.command import run_command
from tokenizers import Regex, Tokenizer, models, normalizers

def job(output):
    os.write(2, b"\\033[0;93m2026-11-25 [E:onnxruntime:, inference_session.cc:1] Miller\\033[m\\n")
    print("progress", file=sys.stderr)
    {body}

status = run_command(job)
print("behind", file=sys.stderr, flush=True)
os.write(2, b"native\\n")
sys.exit(status)
"""
PANIC = """
    tokenizer = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"(\\w+\\s?)+:"), "")
    try:
        tokenizer.encode("Miller elevated and unstable since last week when seen by nobody at all (see note): stable")
    except BaseException as error:
        raise InputError("it cannot be cleaned") from error
"""


def ended(body: str, redirection: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command of which the job is this body."""
    line = f'exec {sys.executable} -c "$SCRIPT" {redirection}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCRIPT": SCRIPT.replace("{body}", body)}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("body", ['raise InputError("it cannot be cleaned")', PANIC])
def test_libraries_print_nothing_beside_an_error(body: str) -> None:
    """Neither a log line of onnxruntime nor a panic of tokenizers; the rest of standard error is as it was."""
    done = ended(body)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["progress", "error: it cannot be cleaned", "behind", "native"]


def test_libraries_print_nothing_beside_rows() -> None:
    """Nor where nothing went wrong, into one pipe with the rows."""
    done = ended('print("row", file=output, flush=True); return 0', "2>&1")
    assert done.stdout.splitlines() == ["progress", "row", "behind", "native"]


@pytest.mark.parametrize(
    ("body", "number", "reason"),
    [
        ("os.abort()", signal.SIGABRT, "Fatal Python error: Aborted"),
        ("os.kill(os.getpid(), 7)", signal.SIGBUS, "Fatal Python error: Bus error"),
        ("os.kill(os.getpid(), 11)", signal.SIGSEGV, "Fatal Python error: Segmentation fault"),
    ],
)
def test_crash_leaves_a_trace(body: str, number: signal.Signals, reason: str) -> None:
    """A library that ends the process does not do so without a word."""
    done = ended(body)
    assert done.returncode == -number
    assert reason in done.stderr
    assert "Miller" not in done.stderr


def test_files_take_no_closed_stream() -> None:
    """A file that a job opens is never standard input, output or error, to which libraries might write."""
    done = ended("print(os.open(os.devnull, os.O_RDONLY) > 2, file=output); return 0", "<&- 2>&-")
    assert done.stdout == "True\n"


def test_interrupt_during_a_removal_stops_the_job() -> None:
    """Python would only print an interrupt that comes while an object is removed, and go on."""
    body = """
    class Interrupted:
        def __del__(self):
            raise KeyboardInterrupt
    Interrupted()
    import time
    time.sleep(60)
    """
    done = ended(body)
    assert (done.returncode, done.stderr) == (130, "progress\nbehind\nnative\n")
