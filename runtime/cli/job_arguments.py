"""The options of `python -m runtime.predict --output-dir`, which scores files of any size."""

import argparse
import re

from ..checks import require_whole_number
from ..errors import SettingError
from .parser import Parser

ROWS_PER_PART = 100_000
MAX_WORKERS = 1024
LIMIT = re.compile(r"\d{1,15}(?:\.\d{1,15})?%?")


def add_job(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a job."""
    group = parser.add_argument_group("files of any size")
    group.add_argument(
        "--output-dir",
        metavar="FOLDER",
        help="write numbered parts into a folder, and the rows that cannot be classified into rejects.jsonl; the same "
        "command resumes an interrupted job",
    )
    group.add_argument("--restart", action="store_true", help="remove the output of an earlier job in --output-dir")
    group.add_argument(
        "--max-rejects",
        metavar="N|N%",
        help="end the job when more rows are rejected; up to that many, the exit status is 0 (default: any number, but "
        "the exit status is 1 if there are some)",
    )
    group.add_argument(
        "--no-dedupe", action="store_true", help="classify a repeated text again instead of looking it up"
    )
    group.add_argument(
        "--rows-per-part", type=int, metavar="N", help=f"number of rows of a part (default: {ROWS_PER_PART:,})"
    )
    group.add_argument("--workers", type=int, metavar="N", help="number of processes on this machine (default: 1)")
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="score the parts on a Ray cluster; without an address on the one of RAY_ADDRESS, or on this machine. "
        "--workers is then the number of actors (default: as many as the cluster has CPUs for)",
    )
    group.add_argument(
        "--ray-cpus", type=int, metavar="N", help="number of CPUs, and of threads, of an actor (default: 1)"
    )


def check_job(parser: Parser, args: argparse.Namespace) -> None:
    """Rejects options of a job that do not belong together, and completes them."""
    if args.output_dir is None:
        for name in ("restart", "max_rejects", "no_dedupe", "rows_per_part", "workers", "ray", "ray_cpus"):
            if getattr(args, name) not in (None, False):
                parser.wrong(f"--{name.replace('_', '-')} needs --output-dir")
        return
    wrong = {
        "--output-dir: expected a folder": not args.output_dir.strip("/"),
        "--output-dir: a job that can be resumed reads files; pass --input, or write to --output": args.input is None,
        "--output and --output-dir: choose one of them": args.output,
        "--explain and --output-dir: choose one of them": args.explain,
        "--with-text and --output-dir: pass the text columns to --keep": args.with_text,
        "--format: a job writes jsonl, csv, tsv or parquet": args.format == "table",
        "--ray-cpus needs --ray": args.ray_cpus is not None and args.ray is None,
        "--max-rejects: expected a number of rows, or percent of the rows such as 1%": args.max_rejects is not None
        and LIMIT.fullmatch(args.max_rejects) is None,
    }
    for name, remedy in (("info", "run it without --output-dir"), ("overwrite", "pass --restart to begin anew")):
        wrong[f"--{name} and --output-dir: {remedy}"] = getattr(args, name)
    for message, is_wrong in wrong.items():
        if is_wrong:
            parser.wrong(message)
    try:
        require_whole_number("rows-per-part", args.rows_per_part)
        require_whole_number("workers", args.workers, MAX_WORKERS)
        require_whole_number("ray-cpus", args.ray_cpus, MAX_WORKERS)
    except SettingError as error:
        parser.wrong(f"--{error}")
    args.format = args.format or "jsonl"
    args.rows_per_part = args.rows_per_part or ROWS_PER_PART
