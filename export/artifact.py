"""Writes the artifact folder: all of it under a temporary name beside the target, then one rename.

A reader never sees half an artifact. One that is replaced is moved aside, for the moment between two renames there is
none, and it is back if the second rename fails.
"""

import contextlib
import dataclasses
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from runtime import manifest as manifests
from runtime import policy
from runtime.artifact import TOKENIZER, check_listing, check_path, sha256
from runtime.manifest import FileEntry, Golden, Manifest, Precision, Variant, Window
from runtime.session import Session

from .checkpoint import Source
from .errors import ExportError
from .layers import Floats
from .model_card import model_card
from .parity import Inputs, pad
from .texts import GOLDEN

SCHEMA_VERSION = f"{manifests.SCHEMA_MAJOR}.0"
MIN_ONNXRUNTIME = "1.26.0"
Logits = Callable[[Inputs], Floats]
TOOLS = ("litmus-onnx", "numpy", "onnx", "onnxruntime", "onnxscript", "optimum", "tokenizers", "torch", "transformers")


@contextlib.contextmanager
def publishing(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Gives a temporary folder beside the target that becomes the target if the block succeeds, and is removed if not.

    Args:
        target: The artifact's path.
        overwrite: Replace an artifact that is there.

    Raises:
        ExportError: The target exists and may not be replaced, or is no artifact; or its path is not UTF-8.
        ArtifactError: The artifact to replace is damaged, or holds files that are not its own.
    """
    target = target.absolute()
    check_path(target, ExportError)
    replace = target.exists() or target.is_symlink()
    if replace and not overwrite:
        raise ExportError(f"{target} exists; choose another folder, or pass --overwrite")
    if replace:
        _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        folder.chmod(0o755)
        yield folder
        _sync(folder)
        if replace:
            _check_replaceable(target)  # again: an export takes a while
            _replace(target, folder)
        else:
            _rename(folder, target)
        _sync_one(target.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_replaceable(target: Path) -> None:
    """Makes sure that replacing the target costs nothing but an artifact: no other file in it, no link to it."""
    path = target / manifests.NAME
    if target.is_symlink() or not path.is_file():
        raise ExportError(f"{target} is not an artifact's folder, so --overwrite does not replace it; choose another")
    check_listing(target, Manifest.from_json(path.read_text("utf-8", errors="replace")))


def _replace(target: Path, folder: Path) -> None:
    """Puts the new artifact in the old one's place; if that fails, the old one is back."""
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.replaced.", dir=target.parent))
    try:
        target.rename(aside / "artifact")
        try:
            _rename(folder, target)
        except BaseException:
            (aside / "artifact").rename(target)
            raise
    except BaseException:
        aside.rmdir()
        raise
    shutil.rmtree(aside)


def _rename(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:  # somebody else has put something there meanwhile
        raise ExportError(f"cannot write {target}: {error.strerror}; choose another folder") from error


def write_artifact(
    folder: Path, source: Source, variants: Sequence[Variant], reference: Logits, sessions: Mapping[Precision, Session]
) -> Manifest:
    """Completes an artifact whose ONNX files are there: tokenizer, configs, model card, manifest.

    Args:
        folder: Where the ONNX files lie.
        source: What they were exported from.
        variants: The ONNX files.
        reference: Gives the fp32 logits of the golden texts.
        sessions: Of the variants by name, for their own scores of the golden texts.

    Returns:
        The manifest as written.
    """
    (folder / TOKENIZER).write_text(source.tokenizer.to_str(pretty=True), "utf-8")  # its own `save` raises no OSError
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copyfile(source.folder / name, folder / name)
    manifest = _with_golden(_manifest(source, tuple(variants)), source, reference, sessions)
    (folder / "README.md").write_text(model_card(manifest), "utf-8")
    manifest = dataclasses.replace(manifest, files=_files(folder))
    (folder / manifests.NAME).write_text(manifest.to_json(), "utf-8")
    return manifest


def _manifest(source: Source, variants: tuple[Variant, ...]) -> Manifest:
    data, metrics = source.recorded("data"), source.recorded("metrics")
    multi_label = source.task == "multi_label"
    return Manifest(
        schema_version=SCHEMA_VERSION,
        task=source.task,
        labels=source.labels,
        thresholds=source.decisions.thresholds,
        temperature=source.decisions.temperature,
        abstain_below=source.decisions.abstain_below,
        max_length=source.max_length,
        pad_token_id=source.pad_token_id,
        vocab_size=source.vocab_size,
        window=Window(stride=source.max_length // 2, aggregation="max" if multi_label else "mean"),
        variants=variants,
        files={},
        base_model=source.recorded("base_model"),
        training_data={name: data[name] for name in ("sha256", "rows", "split_seed") if name in data},
        metrics=metrics.get("test") or {},
        versions={"python": platform.python_version()} | {tool: metadata.version(tool) for tool in TOOLS},
        min_onnxruntime=MIN_ONNXRUNTIME,
        golden=(),
    )


def _with_golden(
    manifest: Manifest, source: Source, reference: Logits, sessions: Mapping[Precision, Session]
) -> Manifest:
    """Adds the scores of the golden texts: fp32's, and every variant's own."""
    encoded = [(text, source.encode(text)) for text in GOLDEN]
    short = [(text, pad(source, [ids])) for text, ids in encoded if len(ids) <= source.max_length]

    def scores(logits: Logits) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(policy.scores(logits(inputs)[0].tolist(), manifest)) for _, inputs in short)

    golden = tuple(Golden(text, row) for (text, _), row in zip(short, scores(reference), strict=True))
    variants = tuple(
        dataclasses.replace(variant, golden=scores(sessions[variant.name].run)) for variant in manifest.variants
    )
    return dataclasses.replace(manifest, golden=golden, variants=variants)


def _files(folder: Path) -> dict[str, FileEntry]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): FileEntry(sha256(path), path.stat().st_size) for path in paths}


def _sync(folder: Path) -> None:
    """Makes sure that every file is on the disk before the rename."""
    for path in (*folder.rglob("*"), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
