"""Writes a file under a temporary name and renames it when it is complete."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TextIO

from ..errors import InputError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where two jobs on one output are not detected
    fcntl = None

PART = ".part"
NOT_REGULAR = "{} is not a regular file; choose another output"
NOTHING: Mapping[str, IO[Any]] = {}


@contextlib.contextmanager
def atomic_write(path: Path, *, overwrite: bool, in_use: Mapping[str, IO[Any]] = NOTHING) -> Iterator[TextIO]:
    """Opens a file for writing in UTF-8; lone surrogates are written as escapes.

    The body writes to a file with the suffix `.part`, which is renamed at the end. If the body fails or is interrupted,
    the `.part` file stays, and a line on stderr names it. A file that is replaced is not touched before
    the new one is complete, even if an earlier job left it under both names.

    Args:
        path: The file. A symbolic link is followed.
        overwrite: Whether to replace an existing file, and a `.part` file of an earlier job.
        in_use: Files that are read or written meanwhile, by the name that messages give them.

    Raises:
        InputError: The file exists, is in use, is not a regular file, is being written by another job, or cannot be
            written.
    """
    if not path.name:
        raise InputError(f"{str(path)!r} is not a file name; choose another output")
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - these raise no error
        raise InputError(NOT_REGULAR.format(path))
    path = Path(os.path.realpath(path))
    part = path.with_name(path.name + PART)
    _check(path, part, overwrite=overwrite, in_use=in_use)
    with _locked(part, overwrite=overwrite) as file:
        try:
            _check(
                path, part, overwrite=overwrite, in_use=in_use
            )  # again, because another job may have finished meanwhile
            yield file
            file.flush()
            os.fsync(file.fileno())
            _publish(part, path, overwrite=overwrite)
        except BaseException:
            with contextlib.suppress(OSError):
                file.flush()
            written = os.fstat(file.fileno())
            if path.exists() and os.path.samestat(path.stat(), written):  # interrupted after the result was published
                part.unlink(missing_ok=True)
            elif written.st_size:
                with contextlib.suppress(OSError):
                    print(f"the output so far is in {part}", file=sys.stderr)
            else:
                part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def locked(path: str, folder: str) -> Iterator[None]:
    """Keeps other jobs out of a folder until the body ends, however the process ends.

    Args:
        path: The file to lock; it stays.
        folder: Name of the folder in messages.

    Raises:
        InputError: Another job holds the lock, or the file cannot be written.
    """
    try:
        file = open(path, "a", encoding="utf-8")  # noqa: PTH123, SIM115
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another output") from error
    with file:
        _lock(file, f"to {folder}")
        yield


def _lock(file: IO[Any], what: str) -> None:
    """Locks a file until it is closed; `what` is what another job that holds the lock is writing."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"another job is writing {what}; wait for it, or choose another output") from error
    except OSError:  # a file system without locks, where two jobs are not detected
        pass


def is_same_file(one: IO[Any], other: IO[Any]) -> bool:
    """Returns whether two open files are the same regular file; pipes, terminals and devices never are."""
    found, expected = _status(one), _status(other)
    return found is not None and expected is not None and os.path.samestat(found, expected)


def _status(file: IO[Any]) -> os.stat_result | None:
    """Returns the status of a regular file, None for anything else."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # it is in memory, or closed
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _check(path: Path, part: Path, *, overwrite: bool, in_use: Mapping[str, IO[Any]]) -> None:
    """Rejects an output path whose existing content would be lost."""
    for name in (path, part):
        try:
            found = name.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"cannot write {name}: {error.strerror}; choose another output") from error
        if not stat.S_ISREG(found.st_mode):
            raise InputError(NOT_REGULAR.format(name))
        for use, file in in_use.items():
            status = _status(file)
            if status is not None and os.path.samestat(found, status):
                raise InputError(f"{name} is both {use} and output; choose another output")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another output, or pass --overwrite")


def _locked(part: Path, *, overwrite: bool) -> TextIO:
    """Creates and locks the temporary file, so that only one job writes it.

    A file of an earlier job is never written to: if that job was killed between linking and unlinking, the file is a
    complete result.
    """
    while True:
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise InputError(f"cannot write {part}: {error.strerror}; choose another output") from error
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(
                open(descriptor, "r+", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: PTH123
            )
            _lock(file, str(part))
            status = os.fstat(descriptor)
            if not (part.exists() and os.path.samestat(status, part.stat())):
                continue  # another job has renamed it meanwhile, so it is that job's result
            if status.st_size == 0 and status.st_nlink == 1:
                stack.pop_all()
                return file
            _remove(part, overwrite=overwrite)


def _remove(part: Path, *, overwrite: bool) -> None:
    """Removes the temporary file of an earlier job, if `overwrite` allows it."""
    if not overwrite:
        raise InputError(f"{part} is left over from an interrupted job; delete it, or pass --overwrite")
    try:
        part.unlink()
    except OSError as error:
        raise InputError(f"cannot remove {part}: {error.strerror}; choose another output") from error


def _publish(part: Path, path: Path, *, overwrite: bool) -> None:
    """Renames the complete file; without `overwrite` only if the name is still free."""
    if overwrite:
        part.replace(path)
        return
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise InputError(f"{path} was created by another process while this job ran; it was not overwritten") from error
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(
                f"{path} was created by another process while this job ran; it was not overwritten"
            ) from None
        part.rename(path)
    else:
        part.unlink()
