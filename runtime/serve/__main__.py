"""`python -m runtime.serve`: serve a classifier over HTTP."""

import signal
import sys
from collections.abc import Sequence
from typing import TextIO

from ..cli.command import exit_with, run_command
from .arguments import parse_args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0 after a signal, 1 if it cannot start, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is handled; it would end the process
    try:
        from .logs import logger  # noqa: PLC0415 - with a clear error if the extra is missing
        from .server import Process, bind  # noqa: PLC0415
        from .workers import Workers  # noqa: PLC0415
    except ImportError as error:
        print(f"error: {error.name} is not installed: pip install 'litmus-onnx[cpu,serve]'", file=sys.stderr)
        return 1

    def job(_: TextIO) -> int:
        if args.workers > 1:
            return 1 if Workers(args, logger()).run() else 0
        Process(args).run(bind(args.host, args.port, shared=False))
        return 0

    return run_command(job, prints=False, has_children=args.workers > 1)


if __name__ == "__main__":
    exit_with(main())
