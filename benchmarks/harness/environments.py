"""The Python environment that each contender runs in."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from .catalog import ContenderSpec

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".venvs" / "peers"


def interpreter(spec: ContenderSpec) -> str:
    """Returns the Python to run a contender with.

    Raises:
        subprocess.CalledProcessError: The peer's packages could not be installed.
    """
    return sys.executable if spec.peer is None else peer_python(spec.peer, PEERS / spec.peer / "requirements.txt")


def peer_python(name: str, requirements: Path) -> str:
    """Returns the Python of a peer's environment, which is created on first use and when its requirements change.

    Raises:
        subprocess.CalledProcessError: The packages could not be installed.
    """
    environment = ENVIRONMENTS / name
    python = environment / "bin" / "python"
    stamp = environment / "installed.txt"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with FileLock(ENVIRONMENTS / f"{name}.lock"):  # tests and benchmarks may run at the same time
        if not stamp.is_file() or stamp.read_text() != requirements.read_text():
            print(f"installing {name} into {environment} ...", file=sys.stderr, flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
            stamp.write_text(requirements.read_text())
    return str(python)
