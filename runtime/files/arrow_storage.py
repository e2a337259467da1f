"""Object stores and other file systems of pyarrow. S3 is tested.

Credentials, region and endpoint come from where the store's own tools look for them, such as AWS_ACCESS_KEY_ID.
"""

import contextlib
import fnmatch
import io
from collections.abc import Iterator, Sequence
from typing import IO

from ..errors import InputError
from ..extras import needs_extra
from .storage import HIDDEN, PATTERN, Status, Storage

with needs_extra("files", "object stores need pyarrow"):
    import pyarrow as pa
    from pyarrow import fs


class ArrowStorage:
    """Files of a file system of pyarrow."""

    is_local = False

    def __init__(self, files: fs.FileSystem) -> None:
        """Keeps the file system, which can be pickled."""
        self._files = files

    def find(self, path: str) -> list[str]:
        """Returns the files that a path names: one, those below a folder, or those that match a pattern; sorted."""
        if self._files.get_file_info(path).type == fs.FileType.File:
            return [path]
        parts = path.rstrip("/").split("/")
        fixed = next((at for at, part in enumerate(parts) if PATTERN & set(part)), len(parts))
        folder, pattern = "/".join(parts[:fixed]), parts[fixed:]
        infos = self._files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        files = {info.path: info.path[len(folder) + 1 :].split("/") for info in infos if info.type == fs.FileType.File}
        if not pattern:
            return sorted(path for path, names in files.items() if not any(name.startswith(HIDDEN) for name in names))
        return sorted(path for path, names in files.items() if _matches(names, pattern))

    def status(self, path: str) -> Status:
        """Returns size and time of a file. It raises FileNotFoundError."""
        found = self._files.get_file_info(path)
        if found.type != fs.FileType.File:
            raise FileNotFoundError(2, "No such file", path)
        return Status(found.size, str(found.mtime_ns))

    def open(self, path: str) -> IO[bytes]:
        """Opens a file for reading at any place."""
        return io.BufferedReader(self._files.open_input_file(path))

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[IO[bytes]]:
        """Opens a file for writing, which exists when the body has succeeded."""
        with io.BytesIO() as content:  # an upload that is broken off must not become a file
            yield content
            with self._files.open_output_stream(path) as file:
                file.write(content.getbuffer())

    def make_folder(self, path: str) -> None:
        """Makes a folder if it does not exist."""
        self._files.create_dir(path, recursive=True)

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files in a folder."""
        infos = self._files.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        return [info.base_name for info in infos if info.type == fs.FileType.File]

    def remove(self, path: str) -> None:
        """Removes a file."""
        self._files.delete_file(path)


def open_address(address: str) -> tuple[Storage, str]:
    """Returns the storage of an address, and the path in it.

    Raises:
        InputError: The address is not valid.
    """
    try:
        files, path = fs.FileSystem.from_uri(address)
    except (pa.ArrowException, ValueError, OSError) as error:
        scheme = address.partition("://")[0]
        raise InputError(
            f"cannot use the {scheme} address: {type(error).__name__}; expected for example s3://bucket/key"
        ) from error
    return ArrowStorage(files), path


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Returns whether a path matches a pattern as `glob` reads it: `*` within a name, `**` any folders."""
    if not names:
        return all(part == "**" for part in pattern)
    if not pattern:
        return False
    is_hidden = names[0].startswith(".") and not pattern[0].startswith(".")
    if pattern[0] == "**":
        return _matches(names, pattern[1:]) or (not is_hidden and _matches(names[1:], pattern))
    return not is_hidden and fnmatch.fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])
