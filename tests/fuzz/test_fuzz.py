"""Random damage to artifacts and files: no crash, no stack trace, no text in an error.

`LITMUS_FUZZ_SECONDS=600 LITMUS_FUZZ_SEED=7 python -m pytest -m fuzz` runs longer and tries other cases. A failure names
the kind, the seed and the case.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .worker import CANARY, KINDS

SECONDS = float(os.environ.get("LITMUS_FUZZ_SECONDS", "3"))
SEED = os.environ.get("LITMUS_FUZZ_SEED", "0")
pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage(kind: str, artifact: Path, tmp_path: Path) -> None:
    """No case of random damage crashes, prints to stderr, or shows a text."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.worker",
        kind,
        str(artifact),
        str(tmp_path),
        SEED,
        str(SECONDS),
        "100000",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    where = f"{kind}, seed {SEED}, case {(tmp_path / 'case').read_text()}"
    assert done.returncode == 0, f"{where}: exit status {done.returncode}\n{done.stderr[-3000:]}"
    assert CANARY not in done.stderr, where
    assert not done.stderr, f"{where}: {done.stderr[:3000]}"
    found = json.loads(done.stdout)
    assert not found["wrong"], (
        f"{kind}, seed {SEED}, {len(found['wrong'])} wrong of {found['cases']}: {found['wrong'][0]}"
    )
    print(f"{kind}: {found['cases']} cases")


ROWS = 400
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP)


def test_signal_at_any_moment_loses_nothing(artifact: Path, tmp_path: Path) -> None:
    """A signal at any moment leaves a whole result or none, keeps an old one, and the next job writes all rows."""
    texts, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    texts.write_text("text\n" + "".join(f"{CANARY} was late {row} times\n" for row in range(ROWS)))
    command = [sys.executable, "-m", "runtime.predict", "--model", str(artifact), "--input", str(texts)]
    command += ["--output", str(output), "--overwrite", "--threads", "1"]
    part, end, case, longest = tmp_path / "out.jsonl.part", time.monotonic() + SECONDS, 0, 0.5
    while time.monotonic() < end or not case:
        dice = random.Random(f"signal {SEED} {case}")
        before = output.exists()
        part.unlink(missing_ok=True)
        job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while job.poll() is None and not part.exists():  # the job handles signals only from then on
            time.sleep(0.001)
        time.sleep(dice.uniform(0, longest))
        job.send_signal(dice.choice(SIGNALS))
        _, errors = job.communicate(timeout=60)
        where = f"signal, seed {SEED}, case {case}"
        assert CANARY not in errors, where
        assert "Traceback" not in errors, f"{where}: {errors}"
        if output.exists():
            assert len(output.read_text().splitlines()) == ROWS, where
        assert output.exists() or not before, where
        case += 1
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=True).returncode == 0
    assert len(output.read_text().splitlines()) == ROWS
    print(f"signal: {case} cases")
