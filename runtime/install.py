"""`python -m runtime.install ARTIFACT TARGET`: copy an artifact to the folder that services load, and verify the copy.

The copy is made under a temporary name, verified (hashes, models, golden texts), and renamed. Services that have loaded
an earlier artifact keep it, because its files are not written to. `load` gets the old artifact or the new one; for the
moment between two renames there is none.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from .artifact import manifest as manifests
from .artifact.folder import read_artifact
from .artifact.publishing import publishing
from .cli.command import exit_with, run_command
from .errors import ArtifactError
from .verify import verify


def install(source: Path, target: Path, *, overwrite: bool = False) -> None:
    """Copies an artifact and verifies the copy.

    Args:
        source: Folder of the artifact.
        target: Folder to create, or to replace if it is an artifact and `overwrite` is set.
        overwrite: Whether to replace an existing artifact.

    Raises:
        ArtifactError: The source is damaged or does not reproduce its golden scores here, or the target cannot be
            written.
    """
    artifact = read_artifact(source)
    if Path(os.path.realpath(target)).is_relative_to(artifact.folder):
        raise ArtifactError(f"{target} is inside the artifact; choose another folder")
    with publishing(target, overwrite=overwrite) as folder:
        for name in artifact.manifest.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(artifact.read(name))
        (folder / manifests.NAME).write_bytes(artifact.content)
        failures = verify(folder).failures
        if failures:
            raise ArtifactError(f"{failures[0]}; nothing was written")


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.install",
        description="Copy an artifact to the folder that services load, and verify the copy.",
    )
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to create")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing artifact")
    return parser.parse_args(argv)


def run(args: argparse.Namespace, output: TextIO) -> int:
    """Installs the artifact and prints the target; returns 0.

    Raises:
        LitmusError: As `install`.
    """
    install(args.artifact, args.target, overwrite=args.overwrite)
    print(args.target, file=output)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    return run_command(lambda output: run(args, output))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that an unfinished copy is removed
    exit_with(main())
