"""The training command's arguments: one dataclass of ours, and transformers' own with defaults that suit fine-tuning.

A JSON recipe holds the same names; what the command line says comes after it and wins.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments

from .errors import TrainingError


@dataclass
class DataArguments:
    """What to train on, and which encoder to start from."""

    dataset: str | None = field(default=None, metadata={"help": "An embedded data set: wisconsin."})
    train_file: str | None = field(default=None, metadata={"help": "Labelled file: CSV, TSV or JSON Lines."})
    validation_file: str | None = field(
        default=None, metadata={"help": "Labelled file of the same layout; default: cut from --train_file."}
    )
    test_file: str | None = field(
        default=None, metadata={"help": "Labelled file of the same layout; default: cut from --train_file."}
    )
    text_columns: list[str] = field(default_factory=list, metadata={"help": "Columns joined by a space to one text."})
    label_columns: list[str] = field(
        default_factory=list, metadata={"help": "One column of labels, or several of 0/1 or TRUE/FALSE."}
    )
    label_separator: str | None = field(
        default=None, metadata={"help": "Stands between the labels of one column; makes the task multi-label."}
    )
    delimiter: str | None = field(default=None, metadata={"help": "Between the fields; default: by the file's suffix."})
    encoding: str = field(default="utf-8", metadata={"help": "Of the files; a byte order mark wins."})
    test_size: float = field(default=0.2, metadata={"help": "Share of the rows that judges the result."})
    validation_size: float = field(default=0.1, metadata={"help": "Share of the rows that picks the best checkpoint."})
    split_seed: int = field(default=42, metadata={"help": "Seed of the split; independent of --seed."})
    cleaning: list[str] = field(
        default_factory=list,
        metadata={"help": "Steps in order, kept in tokenizer.json: nfkc, squeeze_spaces, drop:REGEX."},
    )
    model_name_or_path: str = field(
        default="packaged:minilm", metadata={"help": "A folder, a hub id, or packaged:minilm."}
    )
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of a hub id."})
    max_length: int = field(default=256, metadata={"help": "Tokens per text; longer texts are cut."})


@dataclass
class FineTuningArguments(TrainingArguments):
    """transformers' arguments; the epoch that does best on the validation part is kept."""

    output_dir: str = field(metadata={"help": "New or empty folder for the checkpoint."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate of AdamW."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps of warm-up; below 1, a share of all steps."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Rows per training step and device."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Rows per evaluation step and device."})
    train_sampling_strategy: str = field(default="group_by_length", metadata={"help": "Keeps padding small."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate on the validation part."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save; as --eval_strategy."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Checkpoints kept beside the best."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Keep the best checkpoint, not the last."})
    metric_for_best_model: str | None = field(
        default="auto", metadata={"help": "auto: macro_f1 for single-label, micro_f1 for multi-label."}
    )
    logging_steps: float = field(default=20, metadata={"help": "Steps between two lines of progress."})


def parse_args(argv: Sequence[str]) -> tuple[DataArguments, FineTuningArguments]:
    """Parses the command line; a first argument that ends in `.json` is a recipe.

    Without a GPU, bf16 is on by default where the CPU has it: it trains about 1.5 times faster than fp32.

    Raises:
        TrainingError: The recipe cannot be read, or an argument is not acceptable.
        SystemExit: The command line is wrong (status 2).
    """
    parser = HfArgumentParser(
        (DataArguments, FineTuningArguments), prog="python -m training [RECIPE.json]", allow_abbrev=False
    )
    if not torch.cuda.is_available():
        parser.set_defaults(use_cpu=True, bf16=_cpu_has_bf16())
    arguments = list(argv)
    if arguments and arguments[0].endswith(".json"):
        arguments[:1] = _recipe(arguments[0])
    try:
        data, training = parser.parse_args_into_dataclasses(arguments, look_for_args_file=False)
    except (ValueError, ImportError, RuntimeError) as error:
        raise TrainingError(f"{' '.join(str(error).split())}; see python -m training --help") from error
    _check(training)
    return data, training


def _check(training: FineTuningArguments) -> None:
    """Refuses numbers that would end in a stack trace, or in a model of NaN, much later."""
    at_least_one = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
    for name in at_least_one:
        if getattr(training, name) < 1:
            raise TrainingError(f"--{name}: expected 1 or more, found {getattr(training, name)}")
    if not 0 < training.learning_rate < math.inf:
        raise TrainingError(f"--learning_rate: expected a number above 0, found {training.learning_rate}")
    if training.seed < 0:
        raise TrainingError(f"--seed: expected 0 or more, found {training.seed}")
    resume = training.resume_from_checkpoint
    if resume is not None and not Path(resume).is_dir():
        raise TrainingError(f"--resume_from_checkpoint: expected a checkpoint-* folder, found {resume!r}")


def _cpu_has_bf16() -> bool:
    """Tells whether bf16 has instructions of its own here; PyTorch emulates it elsewhere, slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _recipe(path: str) -> list[str]:
    """Spells a recipe as the command line that it stands for."""
    try:
        recipe: Any = json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise TrainingError(f"cannot read the recipe {path}: {os.strerror(error.errno or 0)}") from error
    except ValueError as error:
        raise TrainingError(f"the recipe {path} is not JSON: {error}") from error
    if not isinstance(recipe, dict):
        raise TrainingError(f"the recipe {path}: expected a JSON object, found {type(recipe).__name__}")
    argv: list[str] = []
    for name, value in recipe.items():
        items = value if isinstance(value, list) else [value]
        if value is not None and items:
            argv.append(f"--{name}")
            argv.extend(json.dumps(item) if isinstance(item, dict) else str(item) for item in items)
    return argv
