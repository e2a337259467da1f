"""A file for results: written beside its name, and given its name when it is complete."""

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
except ImportError:  # Windows, where two jobs on one output are not told apart
    fcntl = None

PART = ".part"
NOTHING: Mapping[str, IO[Any]] = {}


@contextlib.contextmanager
def atomic_write(path: Path, *, overwrite: bool, in_use: Mapping[str, IO[Any]] = NOTHING) -> Iterator[TextIO]:
    """Opens a file to write results to, in UTF-8; lone surrogates are written as escapes.

    If the body fails or is interrupted, what it wrote stays in a file of the same name with `.part` behind it, and a
    line on stderr says so; a signal that ends the process at once leaves the file without a word. Until the new file is
    complete, the one that it replaces is not touched, even if an earlier job left it under both names.

    Args:
        path: The file. A symbolic link is followed.
        overwrite: Replace it if it is there, and what an earlier job left behind.
        in_use: Files that are read or written meanwhile, by what they are.

    Raises:
        InputError: It exists, is in use, is no regular file, is being written by another job, or cannot be written.
    """
    if not path.name:
        raise InputError(f"{str(path)!r} is no name of a file; choose another output")
    path = Path(os.path.realpath(path))
    part = path.with_name(path.name + PART)
    _check(path, part, overwrite=overwrite, in_use=in_use)
    with _locked(part, overwrite=overwrite) as file:
        try:
            _check(path, part, overwrite=overwrite, in_use=in_use)  # again: another job may just have come to its end
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


def is_same_file(one: IO[Any], other: IO[Any]) -> bool:
    """Tells whether two open files are the same regular file; pipes, terminals and devices never are."""
    found, expected = _status(one), _status(other)
    return found is not None and expected is not None and os.path.samestat(found, expected)


def _status(file: IO[Any]) -> os.stat_result | None:
    """Returns the status of a regular file, None for anything else."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # in memory; closed
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _check(path: Path, part: Path, *, overwrite: bool, in_use: Mapping[str, IO[Any]]) -> None:
    """Refuses an output that would cost something that is there."""
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
        for use, file in in_use.items():
            status = _status(file)
            if status is not None and os.path.samestat(found, status):
                raise InputError(f"{name} is both {use} and output; choose another output")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another output, or pass --overwrite")


def _locked(part: Path, *, overwrite: bool) -> TextIO:
    """Makes a file of one name, which only one job has at a time.

    A file that was left behind is never written to: if its job was ended between two names, it is a finished result.
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
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"another job is writing {part}; wait for it, or choose another output") from error
            except OSError:  # a file system without locks: there two jobs are not told apart
                pass
            status = os.fstat(descriptor)
            if not (part.exists() and os.path.samestat(status, part.stat())):
                continue  # another job has published it in between: it is that job's result now
            if status.st_size == 0 and status.st_nlink == 1:
                stack.pop_all()
                return file
            _remove(part, overwrite=overwrite)


def _remove(part: Path, *, overwrite: bool) -> None:
    """Removes what an earlier job left behind, if it may be."""
    if not overwrite:
        raise InputError(f"{part} is left over from an interrupted job; delete it, or pass --overwrite")
    try:
        part.unlink()
    except OSError as error:
        raise InputError(f"cannot remove {part}: {error.strerror}; choose another output") from error


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
