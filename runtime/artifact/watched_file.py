"""A file that stays mapped: checked when it is opened, and watched afterwards.

onnxruntime maps weights, so whoever overwrites the file in place changes them under the session, and whoever shortens
it ends the process with SIGBUS. A private copy would prevent both, but takes memory: 123 MB instead of 86 for MiniLM in
int8, 243 instead of 107 in fp32 (docs/experiments.md). So the file's size and times are compared around each run, which
takes 2 us each time, and a file that differs is hashed again: what was only renamed or touched is still the same.
"""

import contextlib
import hashlib
import os
import threading
from pathlib import Path

from ..errors import ArtifactError, InferenceError
from .folder import CHANGED


class WatchedFile:
    """An open file, known by its hash."""

    def __init__(self, path: Path, name: str, sha256: str | None = None) -> None:
        """Opens and hashes the file.

        Args:
            path: The file.
            name: What messages call it.
            sha256: The hash that it must have, in hexadecimal; None for any.

        Raises:
            OSError: It cannot be read.
            ArtifactError: It has another hash.
        """
        self._path, self._name = path, name
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._seen = self._state()
        self.sha256 = self._hash()
        if sha256 not in (None, self.sha256):
            raise ArtifactError(CHANGED.format(name))
        self._changed = False
        self._turn = threading.Lock()

    def check_path(self) -> None:
        """Makes sure that the path still leads to this file, for whoever opens it by its path.

        Raises:
            ArtifactError: It leads to another one.
        """
        try:
            same = os.path.samestat(os.fstat(self._file), self._path.stat())
        except OSError:
            same = False
        if not same:
            raise ArtifactError(f"{self._name} was replaced while it was being loaded; load the artifact again")

    def check(self) -> bool:
        """Makes sure that the file is what it was.

        Returns:
            Whether anything happened to it since the last time, which left it the same.

        Raises:
            InferenceError: It is not what it was.
        """
        if not self._changed and self._state() == self._seen:
            return False
        self._look_again()
        return True

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # it was never opened
            os.close(self._file)

    def _look_again(self) -> None:
        with self._turn:
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
        found = os.fstat(self._file)
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _hash(self) -> str:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
