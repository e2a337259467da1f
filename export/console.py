"""Progress of an export, on stderr."""

import sys


def say(line: str) -> None:
    """Reports progress."""
    print(line, file=sys.stderr, flush=True)
