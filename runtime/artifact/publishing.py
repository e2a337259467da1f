"""Writes an artifact under a temporary name beside the target, and renames it when it is complete.

A reader never sees half an artifact. An artifact that is replaced is renamed first, so there is none for the moment
between two renames; if the second rename fails, the old artifact is put back.
"""

import contextlib
import functools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import ArtifactError, LitmusError
from . import manifest as manifests
from .folder import check_listing, check_path
from .manifest import Manifest


@contextlib.contextmanager
def publishing(target: Path, *, overwrite: bool, error: type[LitmusError] = ArtifactError) -> Iterator[Path]:
    """Provides a temporary folder that becomes the target if the body succeeds, and is removed if it fails.

    Args:
        target: Path of the artifact.
        overwrite: Whether to replace an existing artifact.
        error: The class of the errors to raise.

    Yields:
        The temporary folder, beside the target.

    Raises:
        LitmusError: An `error`: the target exists and may not be replaced, is not an artifact, cannot be written, or
            its path is not UTF-8.
        ArtifactError: The artifact to replace is damaged, or contains files that are not its own.
    """
    target = target.absolute()
    check_path(target, error)
    replace = target.exists() or target.is_symlink()
    if replace and not overwrite:
        raise error(f"{target} exists; choose another folder, or pass --overwrite")
    if replace:
        _check_replaceable(target, error)
    folder = target.parent / f".{target.name}.{uuid.uuid4().hex[:16]}"
    try:  # from before it exists, so that a signal at any moment leaves nothing behind
        _make(folder, target, error)
        yield folder
        _sync(folder)
        if replace:
            _check_replaceable(target, error)  # again, because the body takes a while
            _replace(target, folder, error)
        else:
            _rename(folder, target, error)
        _sync_one(target.parent)
    except BaseException:
        _to_the_end(functools.partial(shutil.rmtree, folder, ignore_errors=True))
        raise


def _make(folder: Path, target: Path, error: type[LitmusError]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        folder.chmod(0o755)
    except OSError as cause:
        raise error(f"cannot write {target}: {cause.strerror}; choose another folder") from cause


def _check_replaceable(target: Path, error: type[LitmusError]) -> None:
    """Checks that the target is an artifact, without other files in it, and not a link to one."""
    path = target / manifests.NAME
    if target.is_symlink():
        raise error(f"{target} is a symbolic link; write a new folder beside it and switch the link")
    if not path.is_file():
        raise error(f"{target} is not an artifact, so --overwrite does not replace it; choose another folder")
    check_listing(target, Manifest.from_json(path.read_text("utf-8", errors="replace")))


def _replace(target: Path, folder: Path, error: type[LitmusError]) -> None:
    """Replaces the old artifact with the new one; if that fails or is interrupted, the old one is put back."""
    aside = target.parent / f".{target.name}.replaced.{uuid.uuid4().hex[:16]}"
    old = aside / "artifact"

    def tidy() -> None:
        if old.exists() and not os.path.lexists(target):  # a signal may come after any of the renames
            old.rename(target)
        shutil.rmtree(aside, ignore_errors=True)

    try:
        aside.mkdir()
        target.rename(old)
        _rename(folder, target, error)
    finally:
        _to_the_end(tidy)


def _to_the_end(step: Callable[[], None]) -> None:
    """Runs a step that may be repeated, and repeats it if a signal interrupts it."""
    try:
        step()
    except KeyboardInterrupt:
        step()
        raise


def _rename(folder: Path, target: Path, error: type[LitmusError]) -> None:
    try:
        folder.rename(target)
    except OSError as cause:  # another process has written to the target meanwhile
        raise error(f"cannot write {target}: {cause.strerror}; choose another folder") from cause


def _sync(folder: Path) -> None:
    """Flushes every file to the disk before the rename."""
    for path in (*folder.rglob("*"), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
