"""Folders that many tests read: each is made once per run, by the process that needs it first, and never changed."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path

Stamps = dict[str, str]


class SharedFolders:
    """Folders under one root, which all processes of a run have in common.

    Args:
        root: Created on first use.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._complete: dict[Path, Stamps] = {}

    def make(self, name: str, fill: Callable[[Path], object]) -> Path:
        """Returns a folder with its content; while one process fills it, the others wait.

        Args:
            name: Unique among the folders of the tests.
            fill: Writes the content into the empty folder that it is given.
        """
        folder, record = self._root / name, self._root / f"{name}.json"
        if folder in self._complete:
            return folder
        self._root.mkdir(exist_ok=True)
        with (self._root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not record.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a `fill` that failed
                folder.mkdir()
                fill(folder)
                record.write_text(json.dumps(_stamps(folder)))
        self._complete[folder] = json.loads(record.read_text())
        return folder

    def changed(self) -> list[str]:
        """Lists the files that were changed, added or removed in the folders that this process uses."""
        return sorted(
            f"{folder.name}/{path}"
            for folder, stamps in self._complete.items()
            for path in {path for path, _ in stamps.items() ^ _stamps(folder).items()}
        )


def _stamps(folder: Path) -> Stamps:
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path.relative_to(folder).as_posix(): f"{stat.st_mtime_ns} {stat.st_size}" for path, stat in found.items()}
