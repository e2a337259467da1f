"""Finds the files to classify, and opens them, plain or compressed."""

import io
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Literal, cast

from ..errors import InputError
from ..extras import needs_extra
from . import formats
from .formats import InputFormat
from .storage import PATTERN, Storage, open_storage, reading_errors

Compression = Literal["gzip", "zstd"]
SUFFIXES: dict[str, InputFormat] = {**formats.SUFFIXES, ".parquet": "parquet", ".pq": "parquet"}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
PLAIN_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True)
class InputFile:
    """A file to classify.

    Attributes:
        path: Its path in the storage.
        name: Its name in messages and results: its path without the folder that all inputs are in.
        form: Its format.
        compression: How it is compressed; None if it is plain.
        storage: Where it is.
    """

    path: str
    name: str
    form: InputFormat
    compression: Compression | None
    storage: Storage

    def open(self) -> io.BufferedReader:
        """Opens the file; a compressed one is decompressed as it is read.

        Raises:
            InputError: The file cannot be opened. Reading raises one if the compressed data is damaged.
            DependencyError: pyarrow, which zstd needs, is not installed.
        """
        with reading_errors(self.path):
            file = self.storage.open(self.path)
        if self.compression is None:
            return cast(io.BufferedReader, file)
        return io.BufferedReader(_Decompressed(file, self.compression), PLAIN_BUFFER_BYTES)


def find_inputs(paths: Sequence[str], form: InputFormat | None = None) -> list[InputFile]:
    """Returns the files that paths, folders and patterns name, each once, in the order of the paths.

    Args:
        paths: Files, folders with files at any depth, or patterns with `*`; local, or addresses such as s3://bucket/key.
        form: Format of all files; None to recognize it by the suffix.

    Raises:
        InputError: A path names no file, a file has no known suffix, or Parquet is compressed once more.
        DependencyError: pyarrow, which an address needs, is not installed.
    """
    found: dict[str, tuple[str, Storage]] = {}
    for number, path in enumerate(paths, start=1):
        # a text may have been passed in the place of a path
        shown = path if len(paths) == 1 or known_form(path) else f"argument {number} of --input"
        storage, inside = open_storage(path)
        with reading_errors(shown):
            names = storage.find(inside)
        if not names:
            what = "there are no files" if names_several(path) else "No such file or directory"
            raise InputError(f"cannot read {shown}: {what}")
        for name in names:
            found.setdefault(os.path.realpath(name) if storage.is_local else name, (name, storage))
    folders = {PurePosixPath(real).parent for real in found}
    common = os.path.commonpath(folders) if len({folder.is_absolute() for folder in folders}) == 1 else ""
    files = [
        InputFile(name, os.path.relpath(real, common or "."), form or _form(name), _compression(name), storage)
        for real, (name, storage) in found.items()
    ]
    for file in files:
        if file.form == "parquet" and file.compression is not None:
            raise InputError(
                f"{file.name}: Parquet is compressed inside and cannot be read from .gz or .zst; unpack it first"
            )
    return files


def known_form(name: str) -> InputFormat | None:
    """Returns the format that the suffix of a name says, in front of the suffix of a compression."""
    path = PurePosixPath(name.lower())
    return SUFFIXES.get((path.with_suffix("") if path.suffix in COMPRESSIONS else path).suffix)


def names_several(path: str) -> bool:
    """Returns whether a path may name several files: a folder, a pattern, or the address of one."""
    return "://" in path or bool(PATTERN & set(path)) or os.path.isdir(path)  # noqa: PTH112 - raises no error


def _form(name: str) -> InputFormat:
    form = known_form(name)
    if form is None:
        known = ", ".join(SUFFIXES)
        raise InputError(
            f"{name}: expected one of the suffixes {known}, with or without .gz or .zst, or --input-format"
        )
    return form


def _compression(name: str) -> Compression | None:
    return COMPRESSIONS.get(PurePosixPath(name.lower()).suffix)


class _Decompressed(io.RawIOBase):
    """The content of a compressed file."""

    def __init__(self, file: IO[bytes], compression: Compression) -> None:
        self._file, self._compression = file, compression
        self._content: IO[bytes]
        if compression == "gzip":
            import gzip  # noqa: PLC0415 - few inputs need it

            self._content = cast(IO[bytes], gzip.GzipFile(fileobj=file))
        else:
            with needs_extra("files", "zstd needs pyarrow"):
                import pyarrow as pa  # noqa: PLC0415 - the extra is needed only here
            self._content = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        """Reads the next bytes of the content."""
        view = cast(memoryview, buffer)
        try:
            data = self._content.read(len(view))
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"the {self._compression} data is damaged or cut off") from error
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Closes the file as well."""
        self._content.close()
        self._file.close()
        super().close()
