"""Opens a checkpoint folder: model, tokenizer and what training recorded.

Runs no code that comes with a checkpoint, and reads no pickle.
"""

import inspect
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from optimum.exporters.tasks import TasksManager
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from runtime.artifact.folder import TOKENIZER, check_path
from runtime.artifact.labels import is_label_name
from runtime.artifact.manifest import MAX_LENGTH, MIN_LENGTH, Task
from runtime.artifact.remote_code import find_remote_code
from runtime.engine.session import INPUTS
from runtime.errors import ArtifactError
from runtime.text.panics import is_tokenizer_failure, silenced_panics
from runtime.text.tokenizer_file import largest_id, open_tokenizer
from training.data.record import RECORD, check_schema
from training.decisions.learning import DEFAULT_THRESHOLD, Decisions
from training.errors import DataError
from training.positions import position_limit

from ..errors import CheckpointError

TASK = "text-classification"
DEFAULT_LENGTH = 512
MAX_BYTES = 2**31 - 2**20  # protobuf's limit for a file, and room for the graph itself
TASKS: dict[str | None, Task] = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    None: "single_label",
}


@dataclass(frozen=True)
class Source:
    """What a folder says of its classifier, apart from the weights.

    Attributes:
        folder: Where it lies.
        config: Hugging Face's.
        tokenizer: The fast tokenizer, without padding and truncation.
        task: From the config's `problem_type`.
        labels: From the config's `id2label`.
        max_length: Tokens per text.
        pad_token_id: From the config.
        vocab_size: Rows of the embedding: the config's, or those of the weights if they are fewer.
        decisions: Thresholds, temperature and abstaining, as training learned them; without a record the usual ones.
        record: The content of `training.json`, or nothing if another tool made it.
    """

    folder: Path
    config: PreTrainedConfig
    tokenizer: Tokenizer
    task: Task
    labels: tuple[str, ...]
    max_length: int
    pad_token_id: int
    vocab_size: int
    decisions: Decisions
    record: dict[str, Any]

    def encode(self, text: str) -> list[int]:
        """Returns all token ids of a text, special tokens included.

        Raises:
            CheckpointError: The tokenizer fails on it.
        """
        try:
            with silenced_panics():
                return list(self.tokenizer.encode(text).ids)
        except BaseException as error:
            if not is_tokenizer_failure(error):
                raise
            raise CheckpointError(
                f"{self.folder}/{TOKENIZER} fails on an ordinary text; look for a pattern in it that can match the "
                "empty text or that backtracks without bound"
            ) from error

    def recorded(self, section: str) -> dict[str, Any]:
        """Returns a section of the record, or nothing if there is none."""
        content = self.record.get(section) or {}
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.folder}/{RECORD}: {section}: expected a JSON object; train again")
        return content


@dataclass(frozen=True)
class Checkpoint(Source):
    """A loaded checkpoint: what the folder says, and the model.

    Attributes:
        model: In evaluation mode, fp32, on the CPU.
        input_names: What the model's forward reads, in the runtime's order.
    """

    model: PreTrainedModel
    input_names: tuple[str, ...]


def open_checkpoint(path: str) -> Checkpoint:
    """Loads a checkpoint folder.

    Raises:
        CheckpointError: It is missing, incomplete, no sequence classifier, or would run foreign code.
    """
    source = open_source(path, weights="model.safetensors")
    model = _model(source.folder)
    source = fit_vocabulary(source, rows=cast(torch.nn.Embedding, model.get_input_embeddings()).weight.shape[0])
    return Checkpoint(**vars(source), model=model, input_names=_input_names(model))


def open_source(path: str, *, weights: str) -> Source:
    """Reads what a folder has beside its weights.

    Args:
        path: The folder.
        weights: Name of the file of weights, which must be there.

    Raises:
        CheckpointError: It is missing, incomplete, no sequence classifier, or would run foreign code.
    """
    folder = Path(path)
    for name in ("config.json", weights, TOKENIZER, "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has no {name}; expected a checkpoint folder as `python -m training` writes it, "
                "or with --from-onnx an ONNX export with its configuration and its fast tokenizer "
                "(`tokenizer.save_pretrained`)"
            )
    check_path(folder, CheckpointError)
    key = find_remote_code(_json(folder / "config.json"))
    if key is not None:
        raise CheckpointError(
            f"{folder}/config.json has {key!r}, which runs foreign code; remove it if it is not needed"
        )
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # whatever a damaged config makes transformers stumble over
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder}/config.json: transformers cannot read it: {reason}") from error
    problem_type = config.problem_type
    task = TASKS.get(problem_type) if isinstance(problem_type, str | None) else None
    if task is None:
        raise CheckpointError(f"{folder}: problem_type is {problem_type!r}; expected a classification")
    if not isinstance(getattr(config, "vocab_size", None), int):
        raise CheckpointError(f"{folder}/config.json has no vocab_size; expected an encoder that reads token ids")
    pad_token_id = config.pad_token_id
    if not isinstance(pad_token_id, int) or not 0 <= pad_token_id < config.vocab_size:
        raise CheckpointError(
            f"{folder}/config.json has no usable pad_token_id; set it to the tokenizer's padding token"
        )
    try:
        tokenizer = open_tokenizer((folder / TOKENIZER).read_bytes(), TOKENIZER)
    except ArtifactError as error:
        raise CheckpointError(f"{folder}/{TOKENIZER} is not a tokenizer; the checkpoint is damaged") from error
    record = _record(folder)
    labels = _labels(folder, config.id2label, task)
    max_length = _max_length(folder, config, record)
    decisions = _decisions(folder, record, task, labels)
    source = Source(
        folder, config, tokenizer, task, labels, max_length, pad_token_id, config.vocab_size, decisions, record
    )
    return fit_vocabulary(source, rows=config.vocab_size)


def fit_vocabulary(source: Source, *, rows: int) -> Source:
    """Returns a source that has no more ids than an embedding has rows.

    Args:
        source: What to check.
        rows: Of the embedding's weights.

    Raises:
        CheckpointError: The tokenizer or the padding has an id that the embedding has no row for.
    """
    vocab_size = min(source.vocab_size, rows)
    try:
        largest = max(largest_id(source.tokenizer), source.pad_token_id)
    except ArtifactError as error:
        raise CheckpointError(
            f"{source.folder}/{TOKENIZER} fails on a single letter; the checkpoint is damaged"
        ) from error
    if largest >= vocab_size:
        raise CheckpointError(
            f"{source.folder}: the tokenizer and the padding have token ids up to {largest}, the model's embedding has "
            f"{vocab_size} rows, for the ids 0 to {vocab_size - 1}; put the model's own tokenizer there"
        )
    return replace(source, vocab_size=vocab_size)


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    content = _json(folder / "tokenizer_config.json")
    if content.get("truncation_side", "right") != "right":
        raise CheckpointError(
            f"{folder}/tokenizer_config.json: truncation_side: expected 'right', the runtime cuts off the end of "
            "long texts; set it, and train again if training texts were cut"
        )
    return content


def _labels(folder: Path, id2label: dict[int, str], task: Task) -> tuple[str, ...]:
    where = f"{folder}/config.json: id2label:"
    if sorted(id2label) != list(range(len(id2label))):
        raise CheckpointError(f"{where} expected the ids 0 to {len(id2label) - 1}, one for each logit; found others")
    labels = tuple(str(id2label[index]) for index in range(len(id2label)))
    if len(set(labels)) < max(len(labels), 2 if task == "single_label" else 1):
        raise CheckpointError(f"{where} expected two different labels or more, found {len(labels)}")
    if not all(map(is_label_name, labels)):
        raise CheckpointError(f"{where} expected printable names, found an empty one or control characters; rename it")
    return labels


def _record(folder: Path) -> dict[str, Any]:
    """Reads what training wrote down, the figures checked; nothing of another tool's checkpoint."""
    if not (folder / RECORD).is_file():
        return {}
    record = _json(folder / RECORD)
    try:
        check_schema(record, str(folder))
    except DataError as error:
        raise CheckpointError(str(error)) from error
    metrics = record.get("metrics")
    figures = (metrics.get("test") or {}) if isinstance(metrics, dict) else {}
    if not isinstance(figures, dict) or not all(
        isinstance(figure, int | float) and math.isfinite(figure) for figure in figures.values()
    ):
        raise CheckpointError(f"{folder}/{RECORD}: metrics: test: expected numbers by name; train again")
    return record


def _decisions(folder: Path, record: dict[str, Any], task: Task, labels: tuple[str, ...]) -> Decisions:
    """Reads what training decided; a multi-label checkpoint of another tool gives a label from a score of 0.5 on."""
    try:
        found = Decisions.from_record(record)
    except ValueError as error:
        raise CheckpointError(f"{folder}/{RECORD}: decisions: {error}; train again") from error
    if task == "multi_label" and found.thresholds is None:
        found = replace(found, thresholds=(DEFAULT_THRESHOLD,) * len(labels))
    if len(found.thresholds or ()) != (len(labels) if task == "multi_label" else 0):
        raise CheckpointError(f"{folder}/{RECORD}: decisions: expected a threshold for each label; train again")
    return found


def _model(folder: Path) -> PreTrainedModel:
    loader = TasksManager.get_model_class_for_task(TASK, framework="pt")
    try:
        model, report = loader.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, attn_implementation="eager", dtype="float32"
        )
    except Exception as error:  # whatever a damaged config or file makes transformers stumble over
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder}: transformers cannot load it as a {TASK} model: {reason}") from error
    if report["missing_keys"]:
        raise CheckpointError(f"{folder} lacks the weights {min(report['missing_keys'])!r}: fine-tune it first")
    size_bytes = sum(weights.nbytes for weights in model.parameters())
    if size_bytes > MAX_BYTES:
        raise CheckpointError(
            f"{folder} has {size_bytes / 2**30:.2f} GiB of fp32 weights, and one ONNX file holds less than 2 GiB; "
            "use a smaller encoder"
        )
    damaged = [name for name, weights in model.named_parameters() if not torch.isfinite(weights).all()]
    if damaged:
        raise CheckpointError(
            f"{folder}: the weights {damaged[0]!r} have NaN or infinite numbers; train again, at a lower learning rate"
        )
    return cast(PreTrainedModel, model.eval())


def _input_names(model: PreTrainedModel) -> tuple[str, ...]:
    """A model with one token type (RoBERTa's) takes `token_type_ids` but has no use for it."""
    parameters = inspect.signature(model.forward).parameters
    one_type = getattr(model.config, "type_vocab_size", 0) < 2
    return tuple(name for name in INPUTS if name in parameters and not (name == "token_type_ids" and one_type))


def _max_length(folder: Path, config: PreTrainedConfig, record: dict[str, Any]) -> int:
    """Returns the length of training, else the tokenizer's; at most as many tokens as the encoder has positions."""
    limit = _position_limit(folder, config)
    published = _tokenizer_config(folder).get("model_max_length", DEFAULT_LENGTH if limit is None else limit)
    length = record.get("max_length", published)
    if not isinstance(length, int | float) or not length >= MIN_LENGTH:
        raise CheckpointError(f"max_length of the checkpoint: expected {MIN_LENGTH} or more; train again")
    if limit is None:
        limit = MAX_LENGTH if "max_length" in record else DEFAULT_LENGTH
    return int(min(length, limit))


def _position_limit(folder: Path, config: PreTrainedConfig) -> int | None:
    """Builds the encoder without its weights, so that an ONNX export is read as a checkpoint is."""
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever a damaged config makes transformers stumble over
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder}/config.json: transformers cannot build its encoder: {reason}") from error
    return position_limit(model)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON; the checkpoint is damaged") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content
