"""The manifest, `litmus.json`: everything that decides a prediction apart from the weights and the tokenizer.

Knows the schema and nothing of the files it lists: `artifact` compares those with it. The manifest carries the hashes
of the other files and a digest of itself, so that a changed threshold is noticed as surely as a changed weight.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Self, cast

from ..errors import ArtifactError
from .labels import is_label_name

NAME = "litmus.json"
SCHEMA_MAJOR = 1
MAX_NUMBER = 1e30
MIN_TEMPERATURE = 1e-3
MIN_LENGTH = 3
MAX_LENGTH = 1 << 20
RELEASE = re.compile(r"\d{1,4}(\.\d{1,4}){1,2}")
Task = Literal["single_label", "multi_label"]
Precision = Literal["fp32", "int8", "fp16"]
Aggregation = Literal["max", "mean"]


@dataclass(frozen=True)
class FileEntry:
    """What the artifact says of one of its files."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Variant:
    """One ONNX file of the artifact.

    Attributes:
        name: Its precision.
        file: Path inside the artifact, with forward slashes.
        providers: onnxruntime provider names it is meant for.
        operators: `standard` for ONNX's own, which other engines know, too; `onnxruntime` for some of its own.
        quantization: How an int8 variant was made: method, ranges, calibration texts, layers left in fp32.
        quality: Figures that compare it with the fp32 graph, and that one with the PyTorch checkpoint.
        golden: Its own scores of the manifest's golden texts, a row for each.
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
    """How texts beyond `max_length` may be cut into overlapping windows.

    Attributes:
        stride: Tokens from the start of one window to the start of the next, special tokens left out.
        aggregation: How a label's scores in the windows become one.
    """

    stride: int
    aggregation: Aggregation


@dataclass(frozen=True)
class Golden:
    """A text of ours (never a clinical one) and its fp32 scores in label order."""

    text: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of `litmus.json`.

    Attributes:
        schema_version: "major.minor"; another major is refused.
        task: `single_label` (softmax, one label or none) or `multi_label` (sigmoid, any number of labels).
        labels: Label names in the order of the logits.
        thresholds: Multi-label: the least score, per label, at which the label is given. Single-label: None.
        temperature: Logits are divided by it before they become scores.
        abstain_below: Single-label: below this best score no label is given. None: always give one.
        max_length: Tokens per text, special tokens included; longer texts are cut and reported as truncated.
        pad_token_id: Token id on the right of shorter texts in a batch.
        vocab_size: Rows of the embedding; the tokenizer may not have more tokens.
        window: Cutting rule for long texts.
        variants: The ONNX files.
        files: Every file of the artifact but the manifest: path -> hash and size.
        base_model: Name and revision of the encoder that was fine-tuned.
        training_data: Fingerprint: sha256, rows, split seed.
        metrics: Held-out figures of the checkpoint.
        versions: Tools that made the artifact.
        min_onnxruntime: Oldest onnxruntime release known to run it.
        golden: Texts with the scores that a healthy installation reproduces.
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

    @classmethod
    def from_json(cls, content: str) -> Self:
        """Parses and checks a manifest.

        Args:
            content: The text of `litmus.json`.

        Raises:
            ArtifactError: Not JSON, another schema major, a field missing or of the wrong type, or a changed manifest.
        """
        try:
            fields = json.loads(content)
            found = fields.pop("manifest_sha256", None) if isinstance(fields, dict) else None
            digest = _digest(fields)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{NAME} is not valid JSON; the artifact is damaged, export it again") from error
        if not isinstance(fields, dict):
            raise ArtifactError(f"{NAME}: expected a JSON object, found {type(fields).__name__}; export it again")
        _check_schema(fields.get("schema_version"))
        if found != digest:
            raise ArtifactError(f"{NAME} was changed after the export (its digest does not match); export it again")
        manifest = cast(Self, _build(cls, fields, NAME))
        _check(manifest)
        return manifest

    def to_json(self) -> str:
        """Returns the text of `litmus.json`, digest included."""
        fields = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        fields["manifest_sha256"] = _digest(fields)
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def _check(manifest: Manifest) -> None:
    """Checks what the types alone do not say."""
    labels, single_label = manifest.labels, manifest.task == "single_label"

    def check(holds: bool, field: str, expected: str, found: object) -> None:
        _expect(holds, f"{NAME}: {field}", expected, found)

    check(len(labels) >= (2 if single_label else 1), "labels", "two labels or more", len(labels))
    check(len(set(labels)) == len(labels), "labels", "distinct names", "a name twice")
    check(all(map(is_label_name, labels)), "labels", "printable names", "others")
    check((manifest.thresholds is None) == single_label, "thresholds", "them for multi_label, else null", "the other")
    thresholds = manifest.thresholds or ()
    if not single_label:
        check(len(thresholds) == len(labels), "thresholds", f"{len(labels)} of them", len(thresholds))
    check(all(0 <= level <= 1 for level in thresholds), "thresholds", "numbers from 0 to 1", "others")
    check(0 <= (manifest.abstain_below or 0) <= 1, "abstain_below", "a number from 0 to 1", manifest.abstain_below)
    check(manifest.temperature >= MIN_TEMPERATURE, "temperature", f"{MIN_TEMPERATURE} or more", manifest.temperature)
    check(MIN_LENGTH <= manifest.max_length <= MAX_LENGTH, "max_length", f"{MIN_LENGTH} to {MAX_LENGTH}", "another")
    check(0 <= manifest.pad_token_id < manifest.vocab_size, "pad_token_id", "an id of the vocabulary", "another")
    check(1 <= manifest.window.stride <= manifest.max_length, "window.stride", "1 to max_length", "another")
    check(RELEASE.fullmatch(manifest.min_onnxruntime) is not None, "min_onnxruntime", "such as 1.26.0", "another")
    check(all(len(golden.scores) == len(labels) for golden in manifest.golden), "golden", "a score per label", "others")
    check(bool(manifest.variants), "variants", "one or more", "none")
    shown = [*manifest.files, *(name for variant in manifest.variants for name in (variant.file, *variant.providers))]
    check("".join(shown).isprintable(), "files, providers", "printable names", "others")
    for variant in manifest.variants:
        check(bool(variant.providers), f"variants.{variant.name}.providers", "one or more", "none")
        check(variant.file in manifest.files, f"variants.{variant.name}", "a listed file", variant.file[:80])
        shape = [len(row) for row in variant.golden]
        check(
            shape == [len(labels)] * len(manifest.golden),
            f"variants.{variant.name}.golden",
            "as many as texts",
            "others",
        )
    names = [variant.name for variant in manifest.variants]
    check(len(set(names)) == len(names), "variants", "each once", "one twice")


def _digest(fields: Mapping[str, Any]) -> str:
    """Returns the sha256 of the fields in canonical JSON."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _check_schema(version: object) -> None:
    major = version.partition(".")[0] if isinstance(version, str) else None
    if major != str(SCHEMA_MAJOR):
        raise ArtifactError(
            f"{NAME}: expected schema_version {SCHEMA_MAJOR}.x, found {version!r:.80}; "
            "export again with this version of Litmus, or install the version that wrote it"
        )


def _expect(holds: bool, where: str, expected: str, found: object) -> None:
    if not holds:
        raise ArtifactError(f"{where}: expected {expected}, found {found}; export it again")


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turns JSON into a value of the annotated type; `where` is the path shown in an error.

    Unknown keys are ignored: a later minor version may add some.
    """
    if dataclasses.is_dataclass(kind):
        _expect_type(value, dict, where)
        missing = [field.name for field in dataclasses.fields(kind) if field.name not in value]
        _expect(not missing, where, "every field", f"none of: {', '.join(missing)}")
        parts = {f.name: _build(f.type, value[f.name], f"{where}: {f.name}") for f in dataclasses.fields(kind)}
        return cast(Any, kind)(**parts)
    if isinstance(kind, UnionType):
        return None if value is None else _build(kind.__args__[0], value, where)
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        _expect_type(value, list, where)
        return tuple(_build(kind.__args__[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        _expect_type(value, dict, where)
        return {key: _build(kind.__args__[1], item, f"{where}: {key[:80]!r}") for key, item in value.items()}
    if origin is Literal:
        _expect(value in kind.__args__, where, " or ".join(kind.__args__), repr(value)[:80])
        return value
    if kind is Any:
        return value
    if kind is float:
        _expect_type(value, (int, float), where)
        _expect(-MAX_NUMBER < value < MAX_NUMBER, where, "a finite number", "another")
        return float(value)
    _expect_type(value, kind, where)
    return value


def _expect_type(value: object, kind: type | Sequence[type], where: str) -> None:
    kinds = kind if isinstance(kind, Sequence) else (kind,)
    if not isinstance(value, tuple(kinds)) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(item.__name__ for item in kinds)
        raise ArtifactError(f"{where}: expected {names}, found {type(value).__name__}; export it again")
