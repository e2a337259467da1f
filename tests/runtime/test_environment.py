"""Restricted environments: little memory, no place to write, no HOME, an ASCII locale, forks and threads."""

import errno
import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from runtime import InferenceError, load

ROOT = Path(__file__).parents[2]
COMMANDS = {"predict": "-m runtime.predict --model {artifact} Café", "verify": "-m runtime.verify {artifact}"}


def command(artifact: Path, name: str, setup: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command after a line of shell, with only the given environment variables."""
    line = f"{setup}; exec {sys.executable} {COMMANDS[name].format(artifact=artifact)}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=environment, encoding="utf-8"
    )


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("setup", "environment"),
    [
        ("ulimit -d 262144", {}),  # KiB of data: heap and private maps, not the mapped weights
        ("ulimit -f 0", {"PYTHONDONTWRITEBYTECODE": "1"}),  # no file may grow
        ("unset HOME; cd /", {"LANG": "C"}),
        ("cd /", {"HOME": "/nonexistent", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
    ids=["256 MB", "nothing can be written", "no HOME, LANG=C", "ASCII alone"],
)
def test_restricted_environment(int8_artifact: Path, name: str, setup: str, environment: dict[str, str]) -> None:
    """Both commands work in a restricted environment without a message on stderr."""
    done = command(int8_artifact, name, setup, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_read_only_artifact(int8_copy: Path) -> None:
    """A read-only artifact can be verified, and nothing in it is changed."""
    before = {path: path.stat().st_mtime_ns for path in [int8_copy, *int8_copy.rglob("*")]}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert command(int8_copy, "verify", "true").returncode == 0
        assert {path: path.stat().st_mtime_ns for path in [int8_copy, *int8_copy.rglob("*")]} == before
    finally:
        for path in before:
            path.chmod(0o755)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        MemoryError(),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: std::bad_alloc"),
        RuntimeError("Failed to allocate memory for requested buffer of size 91553792"),
    ],
)
def test_not_enough_memory_to_load(artifact: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Lack of memory during a load raises InferenceError, which does not say to export again."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(
        InferenceError, match=r"not enough memory to load onnx/model\.onnx; free some, or choose a smal"
    ):
        load(artifact, provider="cpu")


def test_telemetry_is_off(int8_artifact: Path, tmp_path: Path) -> None:
    """Telemetry of onnxruntime, which writes to HOME and sends data, is off unless the caller turns it on."""
    assert command(int8_artifact, "predict", "true", HOME=str(tmp_path)).returncode == 0
    assert list(tmp_path.iterdir()) == []
    code = "import os, runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for asked, expected in ({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0"):
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)} | asked)
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_forked_child(artifact: Path, threads: int) -> None:
    """A forked child cannot use the inherited classifier, but can load its own and exit; the parent is unaffected."""
    load_it = f"runtime.load({str(artifact)!r}, provider='cpu', threads={threads})"
    code = (
        "import os, sys, runtime\n"
        f"inherited = classifier = {load_it}\n"
        "label = classifier.predict('late').label\n"
        "if not (child := os.fork()):\n"
        "    try: classifier.predict('late')\n"
        "    except runtime.InferenceError as error: print(error, flush=True)\n"
        f"    classifier = {load_it}\n"
        "    inherited = None\n"
        "    sys.exit(classifier.predict('late').label != label)\n"
        "print(os.waitpid(child, 0)[1], classifier.predict('late').label == label)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == (
        "the classifier was loaded before this process was forked; load it in every process\n0 True\n"
    )


@pytest.mark.parametrize("holder", ["pass", "sys.keep = classifier", "ContextVar('v').set(classifier)"])
def test_child_that_does_not_use_the_classifier(artifact: Path, holder: str) -> None:
    """A forked child that does not use the inherited classifier exits, whatever holds the reference."""
    code = (
        "import os, sys, runtime\n"
        "from contextvars import ContextVar\n"
        f"classifier = runtime.load({str(artifact)!r}, provider='cpu', threads=2)\n"
        f"{holder}\n"
        "if not (child := os.fork()): sys.exit(0)\n"
        "print(os.waitpid(child, 0)[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"


def test_dropped_session_is_released(artifact: Path) -> None:
    """The creating process releases the session of a classifier that is dropped."""
    classifier = load(artifact, provider="cpu", threads=2)
    inner = weakref.ref(classifier._session._session)
    del classifier
    gc.collect()
    assert inner() is None


def test_threads_share_an_int8_classifier(int8_artifact: Path) -> None:
    """Sixteen threads that share an int8 classifier get bit-identical logits."""
    classifier = load(int8_artifact, provider="cpu", variant="int8")
    texts = [["late"], ["the train was late again"], ["late", "nobody said why " * 9]]
    expected = [classifier.logits(batch) for batch in texts]
    with ThreadPoolExecutor(16) as pool:
        for batch, found in zip(expected * 40, pool.map(classifier.logits, texts * 40), strict=True):
            np.testing.assert_array_equal(found, batch)
