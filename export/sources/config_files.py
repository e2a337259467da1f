"""Reads and checks the JSON files of a checkpoint folder. Runs no code that comes with it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from runtime.artifact.labels import is_label_name
from runtime.artifact.manifest import MAX_LENGTH, MIN_LENGTH, Task
from runtime.artifact.remote_code import find_remote_code
from training.data.record import RECORD, check_schema
from training.decisions.learning import DEFAULT_THRESHOLD, Decisions
from training.errors import DataError
from training.positions import position_limit

from ..errors import CheckpointError

BEST_THRESHOLDS = "best_thresholds.json"  # as notebooks write it beside a multi-label checkpoint
DEFAULT_LENGTH = 512  # of an encoder without a position limit
TASKS: dict[str | None, Task] = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    None: "single_label",
}


def read_config(folder: Path) -> PreTrainedConfig:
    """Reads config.json.

    Raises:
        CheckpointError: The file is damaged, would run foreign code, or lacks the vocabulary size or the padding token.
    """
    key = find_remote_code(read_json(folder / "config.json"))
    if key is not None:
        raise CheckpointError(
            f"{folder}/config.json has {key!r}, which makes transformers run code from the "
            "checkpoint (trust_remote_code); remove it if the model works without"
        )
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # a damaged config makes transformers raise almost anything
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder}/config.json: transformers cannot read it: {reason}") from error
    if not isinstance(getattr(config, "vocab_size", None), int):
        raise CheckpointError(f"{folder}/config.json has no vocab_size; expected an encoder that reads token ids")
    pad_token_id = config.pad_token_id
    if not isinstance(pad_token_id, int) or not 0 <= pad_token_id < config.vocab_size:
        raise CheckpointError(
            f"{folder}/config.json has no usable pad_token_id; set it to the tokenizer's padding token"
        )
    return cast(PreTrainedConfig, config)


def task_of(folder: Path, config: PreTrainedConfig) -> Task:
    """Returns the task of the config's `problem_type`; without one it is single-label.

    Raises:
        CheckpointError: The `problem_type` is no classification.
    """
    problem_type = config.problem_type
    task = TASKS.get(problem_type) if isinstance(problem_type, str | None) else None
    if task is None:
        raise CheckpointError(
            f"{folder}: problem_type is {problem_type!r}; expected "
            "single_label_classification or multi_label_classification"
        )
    return task


def label_names(folder: Path, config: PreTrainedConfig, task: Task) -> tuple[str, ...]:
    """Returns the labels in the order of the logits.

    Raises:
        CheckpointError: The labels are too few, or not distinct, printable names.
    """
    id2label = cast(dict[int, str], config.id2label)
    where = f"{folder}/config.json: id2label:"
    if sorted(id2label) != list(range(len(id2label))):
        raise CheckpointError(
            f"{where} expected the ids 0 to {len(id2label) - 1}, one for each logit, found {sorted(id2label)!s:.80}"
        )
    labels = tuple(str(id2label[index]) for index in range(len(id2label)))
    if len(set(labels)) < max(len(labels), 2 if task == "single_label" else 1):
        raise CheckpointError(
            f"{where} expected at least two distinct labels, found {len(set(labels))} in {len(labels)}"
        )
    if not all(map(is_label_name, labels)):
        raise CheckpointError(
            f"{where} expected printable names, found an empty one or control characters; rename the label"
        )
    return labels


def read_record(folder: Path) -> dict[str, Any]:
    """Reads training.json and checks its metrics; returns an empty record for the checkpoint of another tool.

    Raises:
        CheckpointError: The record is damaged, or another version of Litmus wrote it.
    """
    if not (folder / RECORD).is_file():
        return {}
    record = read_json(folder / RECORD)
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


def recorded_decisions(folder: Path, record: dict[str, Any], task: Task, labels: tuple[str, ...]) -> Decisions:
    """Returns the decisions of training; thresholds that it did not learn are 0.5.

    Raises:
        CheckpointError: The record does not have one threshold per label.
    """
    try:
        decisions = Decisions.from_record(record)
    except ValueError as error:
        raise CheckpointError(f"{folder}/{RECORD}: decisions: {error}; train again") from error
    if task == "multi_label" and decisions.thresholds is None:
        decisions = replace(decisions, thresholds=(DEFAULT_THRESHOLD,) * len(labels))
    if len(decisions.thresholds or ()) != (len(labels) if task == "multi_label" else 0):
        raise CheckpointError(
            f"{folder}/{RECORD}: decisions: expected {len(labels)} thresholds for a multi-label task, "
            f"none for a single-label task, found {len(decisions.thresholds or ())}; train again"
        )
    return decisions


def published_thresholds(folder: Path, labels: tuple[str, ...]) -> tuple[float, ...]:
    """Reads `best_thresholds.json`: an object with a score for each label, or a list of scores in their order.

    Raises:
        CheckpointError: The file is damaged, or does not have exactly one score from 0 to 1 for each label.
    """
    path = folder / BEST_THRESHOLDS
    content = _json(path)
    if isinstance(content, dict) and set(content) == set(labels):
        content = [content[label] for label in labels]
    scores = content if isinstance(content, list) else []
    numbers = [score for score in scores if isinstance(score, int | float) and not isinstance(score, bool)]
    if len(scores) != len(labels) or len(numbers) != len(labels) or not all(0 <= score <= 1 for score in numbers):
        raise CheckpointError(
            f"{path}: expected one score from 0 to 1 for each of the {len(labels)} labels, as an object by label or as "
            "a list in the order of config.json; correct the file, or pass --threshold SCORE"
        )
    return tuple(map(float, numbers))


def text_length(folder: Path, config: PreTrainedConfig, record: dict[str, Any]) -> int:
    """Returns the maximum length in tokens: training's, else the tokenizer's, within the encoder's position limit.

    Raises:
        CheckpointError: The length is too small, or transformers cannot build the encoder.
    """
    limit = _position_limit(folder, config)
    published = _tokenizer_config(folder).get("model_max_length", DEFAULT_LENGTH if limit is None else limit)
    length = record.get("max_length", published)
    if not isinstance(length, int | float) or not length >= MIN_LENGTH:
        raise CheckpointError(
            f"max_length of the checkpoint: expected {MIN_LENGTH} or more, found {length!r:.80}; train again"
        )
    if limit is None:
        limit = MAX_LENGTH if "max_length" in record else DEFAULT_LENGTH
    return int(min(length, limit))


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "tokenizer_config.json")
    if content.get("truncation_side", "right") != "right":
        raise CheckpointError(
            f"{folder}/tokenizer_config.json: truncation_side: expected 'right', found "
            f"{content['truncation_side']!r:.80}; the runtime truncates the end of long texts. Set it to 'right', and "
            "train again if training texts were truncated"
        )
    return content


def _position_limit(folder: Path, config: PreTrainedConfig) -> int | None:
    """Builds the encoder without its weights, so that a checkpoint and an ONNX export get the same limit."""
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # a damaged config makes transformers raise almost anything
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder}/config.json: transformers cannot build its encoder: {reason}") from error
    return position_limit(model)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CheckpointError: The file holds something else.
    """
    content = _json(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON; the checkpoint is damaged") from error
