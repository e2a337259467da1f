"""The manifest, `litmus.json`: everything that decides a prediction, apart from the weights and the tokenizer.

The manifest contains the hashes of the other files and a digest of itself, so that a changed threshold is detected as
reliably as a changed weight. `folder` compares the files with it; `schema` has the types and ranges of its fields.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

from ..errors import ArtifactError
from .labels import is_label_name
from .schema import build, expect

NAME = "litmus.json"
SCHEMA_MAJOR = 1
MIN_LENGTH = 3
MAX_LENGTH = 1 << 20
MIN_TEMPERATURE = 1e-3
RELEASE = re.compile(r"\d{1,4}(\.\d{1,4}){1,2}")
Task = Literal["single_label", "multi_label"]
Precision = Literal["fp32", "int8", "fp16"]
Aggregation = Literal["max", "mean"]


@dataclass(frozen=True)
class FileEntry:
    """Hash and size of one file of the artifact."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Variant:
    """One ONNX file of the artifact.

    Attributes:
        name: `fp32`, `int8` or `fp16`.
        file: Path inside the artifact, with forward slashes.
        providers: onnxruntime's names of the providers that it is made for.
        operators: `standard` if it uses standard ONNX operators only, which other engines know as well;
            `onnxruntime` if it also uses onnxruntime's own.
        quantization: How an int8 variant was made: method, ranges, calibration texts, layers left in fp32.
        quality: Comparison with the fp32 variant, and for fp32 with the PyTorch checkpoint.
        golden: Its scores for the manifest's golden texts, one row per text.
    """

    name: Precision
    file: str
    providers: tuple[str, ...]
    operators: Literal["onnxruntime", "standard"]
    quantization: Mapping[str, Any] | None
    quality: Mapping[str, Any]
    golden: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Window:
    """How texts longer than `max_length` are split into overlapping windows.

    Attributes:
        stride: Number of tokens from the start of a window to the start of the next, without special tokens.
        aggregation: How the scores of the windows are combined.
    """

    stride: int
    aggregation: Aggregation


@dataclass(frozen=True)
class Golden:
    """A text that comes with Litmus (never a clinical one) and its fp32 scores, in label order."""

    text: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of `litmus.json`.

    Attributes:
        schema_version: "major.minor". Another major version is rejected.
        task: `single_label` (softmax, one label or none) or `multi_label` (sigmoid, any number of labels).
        labels: Label names, in the order of the logits.
        thresholds: Multi-label: the minimum score of each label. Single-label: None.
        temperature: Divides the logits before they become scores.
        abstain_below: Single-label: the score below which no label is assigned. None: a label is always assigned.
        max_length: Maximum number of tokens of a text, special tokens included. Longer texts are truncated.
        pad_token_id: Id of the padding on the right of shorter texts in a batch.
        vocab_size: Number of rows of the embedding. The tokenizer may not have larger ids.
        window: How long texts are split into windows.
        variants: The ONNX files.
        files: Every file of the artifact except the manifest: path -> hash and size.
        base_model: Name and revision of the encoder that was fine-tuned.
        training_data: Fingerprint of the data: sha256, rows, split seed; rows of the training split by label and by
            length in tokens.
        metrics: Metrics of the checkpoint on the test split.
        versions: Versions of the tools that made the artifact.
        min_onnxruntime: Oldest release of onnxruntime that is known to run it.
        golden: Texts with the scores that a working installation must reproduce.
        short_names: Short names of the labels, in their order, for the service; None if there are none. Artifacts of
            schema 1.0 have no such field.
    """

    schema_version: str
    task: Task
    labels: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    temperature: float
    abstain_below: float | None
    max_length: int
    pad_token_id: int
    vocab_size: int
    window: Window
    variants: tuple[Variant, ...]
    files: Mapping[str, FileEntry]
    base_model: Mapping[str, Any]
    training_data: Mapping[str, Any]
    metrics: Mapping[str, float]
    versions: Mapping[str, str]
    min_onnxruntime: str
    golden: tuple[Golden, ...]
    short_names: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, content: str) -> Self:
        """Parses and checks a manifest.

        Args:
            content: The text of `litmus.json`.

        Raises:
            ArtifactError: It is not JSON, has another major schema version, lacks a field, has a field of another type
                or out of range, or was changed.
        """
        try:
            fields = json.loads(content)
            found = fields.pop("manifest_sha256", None) if isinstance(fields, dict) else None
            digest = _digest(fields)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{NAME} is not valid JSON; the artifact is damaged, export it again") from error
        if not isinstance(fields, dict):
            raise ArtifactError(f"{NAME}: expected a JSON object, found {type(fields).__name__}; export it again")
        _check_version(fields.get("schema_version"))
        if found != digest:
            raise ArtifactError(f"{NAME} was changed after the export (its digest does not match); export it again")
        manifest = cast(Self, build(cls, fields, NAME))
        _check_ranges(manifest)
        return manifest

    def to_json(self) -> str:
        """Returns the text of `litmus.json`, with its digest."""
        fields = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        fields["manifest_sha256"] = _digest(fields)
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def _check(holds: bool, field: str, expected: str, found: object) -> None:
    expect(holds, f"{NAME}: {field}", expected, found)


def _check_ranges(manifest: Manifest) -> None:
    """Checks ranges and lengths, which the types do not express."""
    labels, thresholds, length = manifest.labels, manifest.thresholds, manifest.max_length
    stride, pad, release = manifest.window.stride, manifest.pad_token_id, manifest.min_onnxruntime
    single_label = manifest.task == "single_label"
    _check(len(labels) >= (2 if single_label else 1), "labels", "two labels or more", len(labels))
    for position, label in enumerate(labels):
        _check(label not in labels[:position], "labels", "distinct names", f"{label!a:.80} twice")
        _check(is_label_name(label), "labels", "printable names", f"{label!a:.80}")
    if manifest.short_names is not None:
        _check(len(manifest.short_names) == len(labels), "short_names", f"{len(labels)}", len(manifest.short_names))
        _check(len({*manifest.short_names}) == len(labels), "short_names", "distinct names", "a name twice")
        for name in manifest.short_names:
            _check(is_label_name(name), "short_names", "printable names", f"{name!a:.80}")
    if single_label:
        _check(thresholds is None, "thresholds", "null for single_label", thresholds)
    else:
        _check(thresholds is not None, "thresholds", "a list for multi_label", "null")
    if thresholds is not None:
        _check(len(thresholds) == len(labels), "thresholds", f"{len(labels)} of them", len(thresholds))
        for threshold in thresholds:
            _check(0 <= threshold <= 1, "thresholds", "numbers from 0 to 1", threshold)
    _check(0 <= (manifest.abstain_below or 0) <= 1, "abstain_below", "a number from 0 to 1", manifest.abstain_below)
    _check(manifest.temperature >= MIN_TEMPERATURE, "temperature", f"{MIN_TEMPERATURE} or more", manifest.temperature)
    _check(MIN_LENGTH <= length <= MAX_LENGTH, "max_length", f"{MIN_LENGTH} to {MAX_LENGTH}", length)
    _check(0 <= pad < manifest.vocab_size, "pad_token_id", "an id of the vocabulary", pad)
    _check(1 <= stride <= length, "window.stride", "1 to max_length", stride)
    _check(RELEASE.fullmatch(release) is not None, "min_onnxruntime", "a release such as 1.26.0", f"{release!a:.80}")
    for golden in manifest.golden:
        _check(len(golden.scores) == len(labels), "golden", "a score per label", len(golden.scores))
    _check_variants(manifest)


def _check_variants(manifest: Manifest) -> None:
    names = [variant.name for variant in manifest.variants]
    _check(bool(names), "variants", "one or more", "none")
    for position, name in enumerate(names):
        _check(name not in names[:position], "variants", "each once", f"{name} twice")
    for variant in manifest.variants:
        where, rows, texts = f"variants.{variant.name}", variant.golden, len(manifest.golden)
        _check(bool(variant.providers), f"{where}.providers", "one or more", "none")
        _check(variant.file in manifest.files, where, "a listed file", f"{variant.file!a:.80}")
        _check(len(rows) == texts, f"{where}.golden", f"as many as texts, {texts}", len(rows))
        for row in rows:
            _check(len(row) == len(manifest.labels), f"{where}.golden", "a score per label", len(row))
        for provider in variant.providers:
            _check(provider.isprintable(), f"{where}.providers", "printable names", f"{provider!a:.80}")
    for path in manifest.files:
        _check(path.isprintable(), "files", "printable names", f"{path!a:.80}")


def _digest(fields: Mapping[str, Any]) -> str:
    """Returns the sha256 of the fields in canonical JSON."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _check_version(version: object) -> None:
    major = version.partition(".")[0] if isinstance(version, str) else None
    if major != str(SCHEMA_MAJOR):
        raise ArtifactError(
            f"{NAME}: expected schema_version {SCHEMA_MAJOR}.x, found {version!r:.80}; "
            "export again with this version of Litmus, or install the version that wrote it"
        )
