"""Writes the checkpoint folder: a plain Hugging Face model and tokenizer, and `training.json` on how it came about."""

import json
import platform
import shutil
import tempfile
from dataclasses import asdict, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from .arguments import DataArguments, FineTuningArguments
from .data import LabelledData
from .encoder import base_model
from .errors import TrainingError
from .fine_tuning import FineTuned
from .record import RECORD

SCHEMA_VERSION = "1.0"
TOOLS = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn", "numpy")


def check_output_dir(training: FineTuningArguments) -> None:
    """Makes the output folder; refuses one that holds something, unless training resumes there.

    Raises:
        TrainingError: It cannot be written to, or is in use; nothing is deleted or overwritten.
    """
    folder = Path(training.output_dir)
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"--output_dir {folder} is a file; choose a new folder")
    if folder.is_dir() and any(folder.iterdir()) and not training.resume_from_checkpoint:
        raise TrainingError(f"--output_dir {folder} is not empty; choose a new folder, or remove this one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"cannot write to --output_dir {folder}: {reason}; choose another folder") from error


def save_checkpoint(
    tuned: FineTuned, data: LabelledData, arguments: DataArguments, training: FineTuningArguments
) -> Path:
    """Writes model, tokenizer and record, and removes the Trainer's intermediate states, which are pickles.

    Returns:
        The folder.
    """
    folder = Path(training.output_dir)
    tuned.model.save_pretrained(folder)
    tuned.tokenizer.backend_tokenizer.no_padding()
    tuned.tokenizer.backend_tokenizer.no_truncation()
    tuned.tokenizer.save_pretrained(folder)
    name_tokenizer_class(folder / "tokenizer_config.json")
    record = _record(tuned, data, arguments, training)
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for state in folder.glob("checkpoint-*"):
        shutil.rmtree(state)
    return folder


def name_tokenizer_class(path: Path) -> None:
    """Names the class so that transformers 4 finds it, too: 5 writes `TokenizersBackend` and reads both."""
    config = json.loads(path.read_text("utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _record(
    tuned: FineTuned, data: LabelledData, arguments: DataArguments, training: FineTuningArguments
) -> dict[str, Any]:
    paths = {
        name: str(Path(value).resolve())
        for name in ("train_file", "validation_file", "test_file")
        if (value := getattr(arguments, name)) is not None
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "task": data.task,
        "labels": data.labels,
        "max_length": arguments.max_length,
        "base_model": base_model(arguments, tuned.model),
        "data": {
            "sha256": data.sha256,
            "rows": sum(len(part.texts) for part in data.parts.values()),
            "split_seed": arguments.split_seed,
            "parts": {name: len(part.texts) for name, part in data.parts.items()},
        },
        "metrics": tuned.metrics,
        "arguments": {**asdict(arguments), **paths},
        "training_arguments": _changed(training),
        "versions": {"python": platform.python_version()} | {tool: metadata.version(tool) for tool in TOOLS},
    }


def _changed(training: FineTuningArguments) -> dict[str, Any]:
    """Returns the arguments that differ from transformers' own defaults."""
    defaults = {field.name: field.default for field in fields(training.__class__.__base__)}
    values = training.to_dict()
    return {
        name: value
        for name, value in values.items()
        if name in defaults and value != defaults[name] and isinstance(value, str | int | float | bool)
    }
