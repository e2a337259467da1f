"""A file for results: written beside its name, and given its name when it is complete."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from .errors import InputError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where two jobs on one output are not told apart
    fcntl = None

PART = ".part"


@contextlib.contextmanager
def writing(path: Path, *, overwrite: bool, source: IO[bytes] | None = None) -> Iterator[TextIO]:
    """Opens a file to write results to, in UTF-8; lone surrogates are written as escapes.

    If the body fails or is interrupted, what it wrote stays in a file of the same name with `.part` behind it, and a
    line on stderr says so; a signal that ends the process at once leaves the file without a word.

    Args:
        path: The file. A symbolic link is followed.
        overwrite: Replace it if it is there, and what an earlier job left behind.
        source: The file that is read meanwhile.

    Raises:
        InputError: It exists, is the source, is no regular file, is being written by another job, or cannot be written.
    """
    if not path.name:
        raise InputError(f"{str(path)!r} is no name of a file; choose another output")
    path = Path(os.path.realpath(path))
    part = path.with_name(path.name + PART)
    _check(path, part, overwrite=overwrite, source=source)
    file = _locked(part)
    with file:
        _check(path, part, overwrite=overwrite, source=source)  # again: another job may just have come to its end
        if os.fstat(file.fileno()).st_size and not overwrite:
            raise InputError(f"{part} was left behind by a job that broke off; remove it, or pass --overwrite")
        file.truncate(0)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _publish(part, path, overwrite=overwrite)
        except BaseException:
            with contextlib.suppress(OSError):
                file.flush()
            if os.fstat(file.fileno()).st_size:
                with contextlib.suppress(OSError):
                    print(f"what was written so far is in {part}", file=sys.stderr)
            else:
                part.unlink(missing_ok=True)
            raise


def _check(path: Path, part: Path, *, overwrite: bool, source: IO[bytes] | None) -> None:
    """Refuses an output that would cost something that is there."""
    try:
        read = None if source is None else os.fstat(source.fileno())
    except OSError:  # not a file at all
        read = None
    for name in (path, part):
        try:
            found = name.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"cannot write {name}: {error.strerror}; choose another output") from error
        if not stat.S_ISREG(found.st_mode):
            raise InputError(
                f"{name} is not a regular file; choose another output, or leave it out to write to standard output"
            )
        if read is not None and os.path.samestat(found, read):
            raise InputError(f"{name} is both input and output; choose another output")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another output, or pass --overwrite")


def _locked(part: Path) -> TextIO:
    """Opens the file, which stays as it is, for one job at a time."""
    while True:
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise InputError(f"cannot write {part}: {error.strerror}; choose another output") from error
        file = open(descriptor, "r+", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: PTH123, SIM115
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise InputError(f"another job is writing {part}; wait for it, or choose another output") from error
        except OSError:  # a file system without locks: there two jobs are not told apart
            pass
        if part.exists() and os.path.samestat(os.fstat(descriptor), part.stat()):
            return file
        file.close()  # another job has published it in between: it is that job's result now


def _publish(part: Path, path: Path, *, overwrite: bool) -> None:
    """Gives the complete file its name; without `overwrite` only if nothing has come there meanwhile."""
    if overwrite:
        part.replace(path)
        return
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise InputError(f"{path} has come into being meanwhile; it was left alone") from error
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(f"{path} has come into being meanwhile; it was left alone") from None
        part.rename(path)
    else:
        part.unlink()
