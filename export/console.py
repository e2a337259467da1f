"""Progress of an export, on stderr."""

import sys


def log_progress(line: str) -> None:
    """Reports progress."""
    print(line, file=sys.stderr, flush=True)
