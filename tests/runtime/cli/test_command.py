"""How commands end: exit status, one line per error, and no messages of native libraries."""

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


def run_body(body: str, redirection: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command whose job is this body."""
    line = f'exec {sys.executable} -c "$SCRIPT" {redirection}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCRIPT": SCRIPT.replace("{body}", body)}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("body", ['raise InputError("it cannot be cleaned")', PANIC])
def test_native_messages_are_dropped_beside_an_error(body: str) -> None:
    """Log lines of onnxruntime and panics of tokenizers are dropped; Python's own messages are printed."""
    done = run_body(body)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["progress", "error: it cannot be cleaned", "behind", "native"]


def test_native_messages_are_dropped_beside_rows() -> None:
    """Log lines of onnxruntime do not mix with the rows if both streams go into one pipe."""
    done = run_body('print("row", file=output, flush=True); return 0', "2>&1")
    assert done.stdout.splitlines() == ["progress", "row", "behind", "native"]


@pytest.mark.parametrize(
    ("body", "number", "reason"),
    [
        ("os.abort()", signal.SIGABRT, "Fatal Python error: Aborted"),
        ("os.kill(os.getpid(), 7)", signal.SIGBUS, "Fatal Python error: Bus error"),
        ("os.kill(os.getpid(), 11)", signal.SIGSEGV, "Fatal Python error: Segmentation fault"),
    ],
)
def test_crash_is_reported(body: str, number: signal.Signals, reason: str) -> None:
    """A library that crashes the process leaves the signal's name on stderr, and no text."""
    done = run_body(body)
    assert done.returncode == -number
    assert reason in done.stderr
    assert "Miller" not in done.stderr


def test_files_never_get_the_descriptor_of_a_closed_stream() -> None:
    """A file that a job opens never becomes standard input, output or error, where libraries may write."""
    done = run_body("print(os.open(os.devnull, os.O_RDONLY) > 2, file=output); return 0", "<&- 2>&-")
    assert done.stdout == "True\n"


def test_interrupt_in_a_destructor_stops_the_job() -> None:
    """An interrupt that arrives in a destructor, where Python would only print it, stops the job."""
    body = """
    class Interrupted:
        def __del__(self):
            raise KeyboardInterrupt
    Interrupted()
    import time
    time.sleep(60)
    """
    done = run_body(body)
    assert (done.returncode, done.stderr) == (130, "progress\nbehind\nnative\n")
