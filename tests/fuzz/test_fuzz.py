"""Random damage to artifacts and files: no crash, no stack trace, no text in an error.

`LITMUS_FUZZ_SECONDS=600 LITMUS_FUZZ_SEED=7 python -m pytest -m fuzz` tries longer, and other cases; a failure names the
kind, the seed and the case.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .worker import CANARY, KINDS

SECONDS = float(os.environ.get("LITMUS_FUZZ_SECONDS", "3"))
SEED = os.environ.get("LITMUS_FUZZ_SEED", "0")
pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_an_error_or_the_right_answer(kind: str, artifact: Path, tmp_path: Path) -> None:
    """Of as many cases as the time allows none crashes, prints, or shows a text."""
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
