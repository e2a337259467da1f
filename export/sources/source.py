"""A folder to export from: its configuration, tokenizer and training record, without the weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tokenizers
from transformers import PreTrainedConfig

from runtime.artifact.folder import TOKENIZER, check_path
from runtime.artifact.manifest import Task
from runtime.errors import ArtifactError
from runtime.text.panics import is_tokenizer_failure, silenced_panics
from runtime.text.tokenizer import Tokenizer
from runtime.text.tokenizer_file import largest_id, open_tokenizer
from training.data.record import RECORD
from training.decisions.learning import Decisions

from ..errors import CheckpointError
from .config_files import label_names, read_config, read_record, recorded_decisions, task_of, text_length


@dataclass(frozen=True)
class Source:
    """A folder with a classifier, apart from its weights.

    Attributes:
        folder: Its path.
        config: The Hugging Face config.
        tokenizer: The fast tokenizer, without padding and truncation.
        task: From the config's `problem_type`.
        labels: From the config's `id2label`.
        max_length: Maximum number of tokens per text.
        pad_token_id: From the config.
        vocab_size: Rows of the embedding: the config's number, or the weights' if it is smaller.
        decisions: Thresholds, temperature and abstention threshold from training, or defaults without a record.
        record: Content of `training.json`; empty if another tool made the folder.
    """

    folder: Path
    config: PreTrainedConfig
    tokenizer: tokenizers.Tokenizer
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
            CheckpointError: The tokenizer fails on the text.
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

    def runtime_tokenizer(self) -> Tokenizer:
        """Returns the tokenizer as the runtime will use it, which truncates texts at `max_length`."""
        return Tokenizer(
            (self.folder / TOKENIZER).read_bytes(),
            max_length=self.max_length,
            stride=self.max_length,
            pad_token_id=self.pad_token_id,
            vocab_size=self.vocab_size,
        )

    def recorded(self, section: str) -> dict[str, Any]:
        """Returns a section of the record, or an empty one."""
        content = self.record.get(section) or {}
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.folder}/{RECORD}: {section}: expected a JSON object; train again")
        return content


def open_source(path: str, *, weights: str) -> Source:
    """Reads a folder without its weights.

    Args:
        path: The folder.
        weights: Name of the weights file, which must exist.

    Raises:
        CheckpointError: The folder is missing, incomplete, no sequence classifier, or would run foreign code.
    """
    folder = Path(path)
    for name in ("config.json", weights, TOKENIZER, "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has no {name}; expected a checkpoint folder written by `python -m training`, or with "
                "--from-onnx an ONNX export with its config and fast tokenizer (`tokenizer.save_pretrained`)"
            )
    check_path(folder, CheckpointError)
    config = read_config(folder)
    task = task_of(folder, config)
    try:
        tokenizer = open_tokenizer((folder / TOKENIZER).read_bytes(), TOKENIZER)
    except ArtifactError as error:
        raise CheckpointError(f"{folder}/{TOKENIZER} is not a tokenizer; the checkpoint is damaged") from error
    record = read_record(folder)
    labels = label_names(folder, config, task)
    source = Source(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        task=task,
        labels=labels,
        max_length=text_length(folder, config, record),
        pad_token_id=config.pad_token_id,
        vocab_size=config.vocab_size,
        decisions=recorded_decisions(folder, record, task, labels),
        record=record,
    )
    return fit_vocabulary(source, rows=config.vocab_size)


def fit_vocabulary(source: Source, *, rows: int) -> Source:
    """Returns the source with `vocab_size` limited to the rows of the embedding.

    Args:
        source: The source to check.
        rows: Rows of the embedding's weights.

    Raises:
        CheckpointError: The tokenizer or the padding has an id without a row.
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
            f"{vocab_size} rows, for the ids 0 to {vocab_size - 1}; use the tokenizer of this model"
        )
    return replace(source, vocab_size=vocab_size)
