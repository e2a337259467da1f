"""The Python environment that each contender runs in."""

import subprocess
import sys
from pathlib import Path

from .catalog import ContenderSpec

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".venvs" / "peers"


def interpreter(spec: ContenderSpec) -> str:
    """Returns the Python to run a contender with.

    A peer's environment is created on first use, and again whenever its requirements.txt changes.

    Raises:
        subprocess.CalledProcessError: The peer's packages could not be installed.
    """
    if spec.peer is None:
        return sys.executable
    requirements = PEERS / spec.peer / "requirements.txt"
    environment = ENVIRONMENTS / spec.peer
    python = environment / "bin" / "python"
    stamp = environment / "installed.txt"
    if not stamp.is_file() or stamp.read_text() != requirements.read_text():
        print(f"installing {spec.peer} into {environment} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return str(python)
