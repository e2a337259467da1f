"""Where files are: on this machine, or in an object store such as S3.

A file of a job is complete or not there: locally it is written under a temporary name, flushed to the disk and renamed;
an object store does that itself.
"""

import contextlib
import glob
import os
import stat
from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from ..errors import InputError

TEMPORARY = ".tmp"
PATTERN = frozenset("*?[")  # characters that make a path a pattern
HIDDEN = (".", "_")  # names that other tools skip as well: .crc, _SUCCESS, _temporary


class Status(NamedTuple):
    """What tells that a file was changed.

    Attributes:
        size: Size in bytes.
        modified: Time of the last change, as the storage gives it.
    """

    size: int
    modified: str


class Storage(Protocol):
    """Files of one kind of storage, by their paths."""

    is_local: bool

    def find(self, path: str) -> list[str]:
        """Returns the files that a path names: one, those below a folder, or those that match a pattern; sorted."""

    def status(self, path: str) -> Status:
        """Returns size and time of a file. It raises FileNotFoundError."""

    def open(self, path: str) -> IO[bytes]:
        """Opens a file for reading at any place."""

    def write(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Opens a file for writing, which exists when the body has succeeded."""

    def make_folder(self, path: str) -> None:
        """Makes a folder if it does not exist."""

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files in a folder."""

    def remove(self, path: str) -> None:
        """Removes a file."""


class LocalStorage:
    """Files of this machine."""

    is_local = True

    def find(self, path: str) -> list[str]:
        """Returns the files that a path names: one, those below a folder, or those that match a pattern; sorted."""
        if os.path.isdir(path):  # noqa: PTH112
            return sorted(_below(path))
        if os.path.exists(path):  # noqa: PTH110
            return [path]
        found = glob.glob(path, recursive=True)  # noqa: PTH207
        return sorted(_checked(name) for name in found if not os.path.isdir(name))  # noqa: PTH112

    def status(self, path: str) -> Status:
        """Returns size and time of a file. It raises FileNotFoundError, or InputError for a pipe or a device."""
        found = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path} is not a regular file, which a job has to read several times; write it to a file")
        return Status(found.st_size, str(found.st_mtime_ns))

    def open(self, path: str) -> IO[bytes]:
        """Opens a file for reading at any place."""
        return open(path, "rb")  # noqa: PTH123

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[IO[bytes]]:
        """Opens a file for writing, which exists when the body has succeeded, even after a power failure."""
        temporary = f"{path}.{os.getpid()}{TEMPORARY}"  # so that a process that is still dying disturbs nobody
        try:
            with open(temporary, "wb") as file:  # noqa: PTH123
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        _sync_folder(os.path.dirname(path))  # noqa: PTH120

    def make_folder(self, path: str) -> None:
        """Makes a folder if it does not exist."""
        os.makedirs(path, exist_ok=True)  # noqa: PTH103

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files in a folder."""
        if not os.path.isdir(folder):  # noqa: PTH112
            return []
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.is_dir()]

    def remove(self, path: str) -> None:
        """Removes a file."""
        os.unlink(path)  # noqa: PTH108


def open_storage(path: str) -> tuple[Storage, str]:
    """Returns the storage of a path, and the path in it: a local path, or the address of an object store.

    Raises:
        InputError: The address is not valid.
        DependencyError: pyarrow, which an address needs, is not installed.
    """
    if "://" not in path:
        return LocalStorage(), path
    if path.startswith("file://"):
        address = urlsplit(path)
        if address.netloc not in ("", "localhost") or not address.path.strip("/"):  # file://notes would be the folder /
            raise InputError("cannot use the file address; expected for example file:///folder/file")
        return LocalStorage(), unquote(address.path)
    from .arrow_storage import open_address  # noqa: PLC0415 - needs pyarrow

    return open_address(path)


def reading_errors(path: str) -> contextlib.AbstractContextManager[None]:
    """Turns errors of the operating system into an InputError that names the file."""
    return _errors("read", path)


def writing_errors(path: str) -> contextlib.AbstractContextManager[None]:
    """Turns errors of the operating system into an InputError that names the file."""
    return _errors("write", path)


@contextlib.contextmanager
def _errors(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot {what} {path}: {error.strerror or type(error).__name__}") from error


def _below(folder: str) -> Iterator[str]:
    """Yields the files below a folder, through links, without hidden ones.

    Raises:
        OSError: A folder cannot be read.
        InputError: Something is neither a file nor a folder.
    """

    def fail(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder around it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        for name in names:
            if not name.startswith(HIDDEN):
                yield _checked(os.path.join(parent, name))  # noqa: PTH118


def _checked(path: str) -> str:
    """Returns the path of a file, which may not be a pipe, a device or a broken link."""
    if not os.path.isfile(path):  # noqa: PTH113
        raise InputError(f"{path} is neither a file nor a folder")
    return path


def _sync_folder(folder: str) -> None:
    try:
        descriptor = os.open(folder or ".", os.O_RDONLY)
    except OSError:  # Windows has no folders to open
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
