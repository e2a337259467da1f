"""Adds to the ONNX files of an artifact everything else: tokenizer, configs, golden scores, model card, manifest."""

import dataclasses
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from runtime.artifact import manifest as manifests
from runtime.artifact.folder import TOKENIZER, sha256
from runtime.artifact.manifest import FileEntry, Golden, Manifest, Precision, Variant, Window
from runtime.decision import policy
from runtime.engine.session import Session
from runtime.verify import verify
from training.arrays import Floats

from ..errors import ParityError
from ..graph.parity import pad
from ..graph.variant_files import Inputs
from ..sources.golden_texts import GOLDEN
from ..sources.source import Source
from .model_card import model_card

SCHEMA_VERSION = f"{manifests.SCHEMA_MAJOR}.1"
MIN_ONNXRUNTIME = "1.26.0"
Logits = Callable[[Inputs], Floats]
TOOLS = ("litmus-onnx", "numpy", "onnx", "onnxruntime", "onnxscript", "optimum", "tokenizers", "torch", "transformers")

RECORDED = ("sha256", "rows", "split_seed", "label_rows", "length_rows")  # of the training data


def write_artifact(
    folder: Path,
    source: Source,
    variants: Sequence[Variant],
    reference: Logits,
    sessions: Mapping[Precision, Session],
    *,
    short_names: tuple[str, ...] | None = None,
) -> Manifest:
    """Writes the tokenizer, configs, model card and manifest of an artifact.

    Args:
        folder: The unfinished artifact, which has the ONNX files.
        source: The folder that was exported.
        variants: Manifest entries of the ONNX files.
        reference: Returns the fp32 logits of model inputs, (batch, labels) float32.
        sessions: Sessions of the variants by name.
        short_names: Short names of the labels; None for none.

    Returns:
        The manifest as written.
    """
    (folder / TOKENIZER).write_text(source.tokenizer.to_str(pretty=True), "utf-8")  # `Tokenizer.save` raises no OSError
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copyfile(source.folder / name, folder / name)
    manifest = _with_golden(_manifest(source, tuple(variants), short_names), source, reference, sessions)
    (folder / "README.md").write_text(model_card(manifest), "utf-8")
    manifest = dataclasses.replace(manifest, files=_files(folder))
    (folder / manifests.NAME).write_text(manifest.to_json(), "utf-8")
    return manifest


def verify_artifact(folder: Path) -> None:
    """Loads a finished artifact as a service does, and compares the golden scores of every variant that runs here.

    Raises:
        ParityError: A variant gives other scores.
    """
    failures = verify(folder).failures
    if failures:
        raise ParityError(f"the finished artifact's {failures[0]}; nothing was written")


def _manifest(source: Source, variants: tuple[Variant, ...], short_names: tuple[str, ...] | None) -> Manifest:
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
        training_data={name: data[name] for name in RECORDED if name in data},
        metrics=metrics.get("test") or {},
        versions={"python": platform.python_version()} | {tool: metadata.version(tool) for tool in TOOLS},
        min_onnxruntime=MIN_ONNXRUNTIME,
        golden=(),
        short_names=short_names,
    )


def _with_golden(
    manifest: Manifest, source: Source, reference: Logits, sessions: Mapping[Precision, Session]
) -> Manifest:
    """Adds the scores of the golden texts: the reference's, and each variant's own."""
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
