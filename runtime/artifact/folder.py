"""Opens an artifact folder and checks that every file is the one that was exported.

Knows files and hashes. Of their content it knows only the manifest.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ArtifactError, ArtifactNotFoundError, LitmusError
from . import manifest as manifests
from .manifest import FileEntry, Manifest

TOKENIZER = "tokenizer.json"
MAX_MANIFEST_BYTES = 1 << 24
EXPORT_AGAIN = "copy the artifact again, or export it again"
CHANGED = f"{{}}: its sha256 is not the one in the manifest, so the file was changed; {EXPORT_AGAIN}"


@dataclass(frozen=True)
class Artifact:
    """A folder and its manifest.

    Attributes:
        folder: Absolute path without symbolic links, so that switching a link does not change which artifact it names.
        manifest: The manifest.
        content: The bytes of `litmus.json`.
    """

    folder: Path
    manifest: Manifest
    content: bytes

    @property
    def sha256(self) -> str:
        """Hash of `litmus.json`, which contains the hashes of all other files, so it identifies the whole artifact."""
        return hashlib.sha256(self.content).hexdigest()

    def is_replaced(self) -> bool:
        """Returns whether another artifact has taken its place since it was read."""
        try:
            return (self.folder / manifests.NAME).read_bytes() != self.content
        except OSError:
            return True

    def read(self, name: str) -> bytes:
        """Returns the content of a listed file after checking its hash.

        Raises:
            ArtifactError: The hash differs, or the file cannot be read.
        """
        with artifact_errors():
            content = (self.folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.manifest.files[name].sha256:
            raise ArtifactError(CHANGED.format(name))
        return content


def open_artifact(folder: str | os.PathLike[str]) -> Artifact:
    """Reads the manifest of an artifact and checks every file that it lists.

    Args:
        folder: Path of the artifact. It may be a symbolic link; links inside the folder are rejected.

    Raises:
        ArtifactNotFoundError: There is no such folder, or no manifest in it.
        ArtifactError: A file is missing, not listed, a symbolic link, or not the file that was exported.
    """
    artifact = read_artifact(folder)
    check_files(artifact, artifact.manifest.files)
    return artifact


def read_artifact(folder: str | os.PathLike[str]) -> Artifact:
    """Reads the manifest and checks that the listed files exist, without hashing them.

    Arguments and errors are those of `open_artifact`.
    """
    if not isinstance(folder, str | os.PathLike) or isinstance(os.fspath(folder), bytes):
        raise ArtifactNotFoundError(f"expected the path of an artifact, found {type(folder).__name__}")
    with artifact_errors():
        return _read(Path(folder))


def check_files(artifact: Artifact, names: Iterable[str]) -> None:
    """Checks the hashes of listed files.

    Raises:
        ArtifactError: A hash differs, or a file cannot be read.
    """
    with artifact_errors():
        for name in names:
            if sha256(artifact.folder / name) != artifact.manifest.files[name].sha256:
                raise ArtifactError(CHANGED.format(name))


def check_path(path: Path, error: type[LitmusError] = ArtifactError) -> None:
    """Rejects a path that is not UTF-8, which neither onnxruntime nor tokenizers can open.

    Args:
        path: The path.
        error: The class of the error to raise.
    """
    try:
        os.path.realpath(path).encode()  # `Path.resolve` fails on a loop of links
    except UnicodeEncodeError as cause:
        raise error(
            f"the path {str(path)!a} is not UTF-8, or the locale is not (LANG=C.UTF-8 is); move it, or set the locale"
        ) from cause


@contextlib.contextmanager
def artifact_errors() -> Iterator[None]:
    """Turns an `OSError` of its body into an `ArtifactError`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"cannot read the artifact: {error.strerror}; check its permissions and its disk"
        ) from error


def _read(folder: Path) -> Artifact:
    if "\0" in str(folder):
        raise ArtifactNotFoundError("expected the path of an artifact, found one with a NUL in it")
    root = Path(os.path.realpath(folder))  # only once, because the folder may be a link that is switched meanwhile
    if not root.is_dir():
        raise ArtifactNotFoundError(f"no artifact at {folder}: expected a folder that `python -m export` wrote")
    check_path(root)
    path = root / manifests.NAME
    if not path.is_file():
        raise ArtifactNotFoundError(
            f"{folder} is not an artifact: it has no {manifests.NAME}; make one with `python -m export`"
        )
    if path.is_symlink():
        raise ArtifactError(f"{manifests.NAME} is a symbolic link; an artifact holds plain files, {EXPORT_AGAIN}")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{manifests.NAME} is larger than {MAX_MANIFEST_BYTES} bytes; {EXPORT_AGAIN}")
    try:
        content = path.read_bytes()
        manifest = Manifest.from_json(content.decode())
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{manifests.NAME} is not UTF-8; {EXPORT_AGAIN}") from error
    check_listing(root, manifest)
    for name, entry in manifest.files.items():
        _check_size(root / name, name, entry)
    return Artifact(root, manifest, content)


def sha256(path: Path) -> str:
    """Returns the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_listing(root: Path, manifest: Manifest) -> None:
    """Checks that the folder contains no files but the listed ones.

    Raises:
        ArtifactError: A listed path leads out of the folder, or a file is not listed or is a symbolic link.
    """
    for name in (*manifest.files, *(variant.file for variant in manifest.variants)):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ArtifactError(f"{manifests.NAME} lists {name!r}, a path outside the artifact; {EXPORT_AGAIN}")
    if TOKENIZER not in manifest.files:
        raise ArtifactError(f"{manifests.NAME} does not list {TOKENIZER}; {EXPORT_AGAIN}")
    found: set[str] = set()
    for parent, folders, files in os.walk(root):
        for entry in (*folders, *files):
            path_found = Path(parent, entry)
            if path_found.is_symlink():
                name = path_found.relative_to(root).as_posix()
                raise ArtifactError(f"{name!r} is a symbolic link; an artifact holds plain files, {EXPORT_AGAIN}")
        found.update(Path(parent, name).relative_to(root).as_posix() for name in files)
    unlisted = sorted(found - set(manifest.files) - {manifests.NAME})
    if unlisted:
        raise ArtifactError(f"{unlisted[0]!r} is not in the manifest; remove it from the artifact, or export it again")


def _check_size(path: Path, name: str, entry: FileEntry) -> None:
    if not path.is_file():
        raise ArtifactError(f"{name} is missing from the artifact; {EXPORT_AGAIN}")
    size_bytes = path.stat().st_size
    if size_bytes != entry.size_bytes:
        raise ArtifactError(f"{name}: expected {entry.size_bytes} bytes, found {size_bytes}; {EXPORT_AGAIN}")
