"""A file for results: written beside its name, and given its name when it is complete."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .errors import InputError

PART = ".part"


@contextlib.contextmanager
def writing(path: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[TextIO]:
    """Opens a file to write results to, in UTF-8.

    If the body fails or is interrupted, what it wrote stays in a file of the same name with `.part` behind it.

    Args:
        path: The file.
        overwrite: Replace it if it is there, and what an earlier job left behind.
        source: The file that is read meanwhile.

    Raises:
        InputError: It exists, is the source, is being written by another job, or its folder cannot be written to.
    """
    part = path.with_name(path.name + PART)
    if source is not None and path.exists() and path.samefile(source):
        raise InputError(f"{path} is both input and output; choose another output")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path} exists; choose another output, or pass --overwrite")
    try:
        file = part.open("w" if overwrite else "x", encoding="utf-8", newline="")
    except FileExistsError as error:
        raise InputError(
            f"{part} exists: another job writes it, or left it behind; remove it, or pass --overwrite"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write {part}: {error.strerror}; choose another output") from error
    with file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
