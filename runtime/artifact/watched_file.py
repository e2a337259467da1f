"""A file that stays mapped: its hash is checked when it is opened, and changes are detected afterwards.

onnxruntime maps the weights, so overwriting the file in place changes them while the session runs, and shortening it
kills the process with SIGBUS. A private copy would prevent both, but takes memory: 123 MB instead of 86 for MiniLM in
int8, 243 instead of 107 in fp32 (docs/experiments.md). So the file's size and times are compared before and after
each run, which takes 2 us each. If they differ, the file is hashed again, because it may only have been renamed or
touched.
"""

import contextlib
import hashlib
import os
import threading
from pathlib import Path

from ..errors import ArtifactError, InferenceError
from .folder import CHANGED


class WatchedFile:
    """An open file whose changes are detected."""

    def __init__(self, path: Path, name: str, sha256: str | None = None) -> None:
        """Opens and hashes the file.

        Args:
            path: Path of the file.
            name: Name of the file in messages.
            sha256: Its expected hash, in hexadecimal; None for any.

        Raises:
            OSError: The file cannot be read.
            ArtifactError: The file has another hash.
        """
        self._path, self._name = path, name
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._seen = self._state()
        self.sha256 = self._hash()
        if sha256 not in (None, self.sha256):
            raise ArtifactError(CHANGED.format(name))
        self._changed = False
        self._lock = threading.Lock()

    def check_path(self) -> None:
        """Checks that the path still leads to this file, after something else has opened it by its path.

        Raises:
            ArtifactError: The path leads to another file.
        """
        try:
            same = os.path.samestat(os.fstat(self._file), self._path.stat())
        except OSError:
            same = False
        if not same:
            raise ArtifactError(f"{self._name} was replaced while it was being loaded; load the artifact again")

    def check(self) -> bool:
        """Checks that the content of the file has not changed.

        Returns:
            Whether the file was touched since the last check, with its content unchanged.

        Raises:
            InferenceError: The content has changed.
        """
        if not self._changed and self._state() == self._seen:
            return False
        self._hash_again()
        return True

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # the file was never opened
            os.close(self._file)

    def _hash_again(self) -> None:
        with self._lock:
            if not self._changed:
                state = self._state()
                self._changed = state[0] != self._seen[0] or self._hash() != self.sha256
                self._seen = state
            if self._changed:
                raise InferenceError(
                    f"{self._name} was changed in place while it was loaded; load the artifact again, and replace "
                    "artifacts by renaming them"
                )

    def _state(self) -> tuple[int, int, int]:
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _hash(self) -> str:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
