"""Checks of the arguments, before anything is read or trained."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import get_available_reporting_integrations

from ..errors import TrainingError
from .groups import Arguments, FineTuningArguments

LATEST = "latest"
LOSSES = ("cross_entropy", "focal")
SAMPLING = ("random", "sequential", "group_by_length")
CLASS_WEIGHTS = ("none", "balanced")
MAX_SEED = 2**32 - 1


def check_arguments(arguments: Arguments) -> None:
    """Rejects values that would fail, or change the result unnoticed, during the training.

    Raises:
        TrainingError: A value is out of range, unknown, or does not go with another.
    """
    _check_numbers(arguments.training)
    _check_required(arguments.training)
    _check_transformers_options(arguments.training)
    _check_checkpoints(arguments.training)
    _check_method(arguments)


def check_task(arguments: Arguments, task: str) -> None:
    """Rejects single-label options for multi-label data; called once the data is known.

    Raises:
        TrainingError: The data is multi-label, and an option is for single-label data only.
    """
    single_label = {
        "label_smoothing_factor": arguments.training.label_smoothing_factor,
        "target_precision": arguments.method.target_precision,
    }
    for name, value in single_label.items():
        if value and task == "multi_label":
            raise TrainingError(f"--{name} is for single-label data, and this data is multi-label; leave it out")


def _check_numbers(training: FineTuningArguments) -> None:
    """Rejects numbers that would end in a stack trace or in a model of NaN, much later."""
    counts = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
    for name in (*counts, "eval_accumulation_steps"):
        value = getattr(training, name)
        if value is not None and value < 1:
            raise TrainingError(f"--{name}: expected 1 or more, found {value}")
    for name in ("seed", "data_seed"):
        if not 0 <= (getattr(training, name) or 0) <= MAX_SEED:
            raise TrainingError(f"--{name}: expected 0 to {MAX_SEED}, found {getattr(training, name)}")
    if not 0 < training.learning_rate < math.inf:
        raise TrainingError(f"--learning_rate: expected a number above 0, found {training.learning_rate}")
    if not 0 <= training.label_smoothing_factor < 1:
        raise TrainingError(
            f"--label_smoothing_factor: expected 0 or more and less than 1, found {training.label_smoothing_factor}"
        )
    if training.max_steps < 1 and not 0 < training.num_train_epochs < math.inf:
        raise TrainingError(f"--num_train_epochs: expected a number above 0, found {training.num_train_epochs}")
    for name in ("weight_decay", "max_grad_norm"):
        if not 0 <= getattr(training, name) < math.inf:
            raise TrainingError(f"--{name}: expected 0 or more, found {getattr(training, name)}")


def _check_required(training: FineTuningArguments) -> None:
    """Rejects Trainer options that would disable evaluation, best-checkpoint selection or resuming."""
    disabling = {
        "prediction_loss_only": training.prediction_loss_only,
        "eval_do_concat_batches": not training.eval_do_concat_batches,
        "dataloader_drop_last": training.dataloader_drop_last,
        "label_names": training.label_names not in (None, ["labels"]),
    }
    for name, disables in disabling.items():
        if disables:
            raise TrainingError(f"--{name}: evaluation needs the logits and labels of every row; leave it out")
    if training.save_only_model:
        raise TrainingError("--save_only_model: a training resumes from its whole state; leave it out")


def _check_transformers_options(training: FineTuningArguments) -> None:
    """Rejects values that transformers would ignore silently, or fail on with a stack trace."""
    if training.train_sampling_strategy not in SAMPLING:
        raise TrainingError(
            f"--train_sampling_strategy: expected {', '.join(SAMPLING)}, found {training.train_sampling_strategy!r}"
        )
    if isinstance(training.lr_scheduler_kwargs, str):
        raise TrainingError(f"--lr_scheduler_kwargs: expected a JSON object, found {training.lr_scheduler_kwargs!r}")
    if any("=" not in item for item in (training.optim_args or "=").replace(" ", "").split(",")):
        raise TrainingError(f"--optim_args: expected name=value, with commas between, found {training.optim_args!r}")
    loggers = get_available_reporting_integrations()  # type: ignore[no-untyped-call]  # transformers does not annotate it
    for name in training.report_to or ():
        if name not in loggers:
            raise TrainingError(f"--report_to: {name!r} is not installed; expected none or {' or '.join(loggers)}")


def _check_checkpoints(training: FineTuningArguments) -> None:
    """Rejects options under which the best checkpoint is not saved, or another training's is resumed."""
    by_steps = training.eval_strategy == training.save_strategy == "steps"
    if training.load_best_model_at_end and by_steps and training.save_steps != training.eval_steps:
        raise TrainingError(
            f"--save_steps: expected {training.eval_steps} as --eval_steps, or the best checkpoint might not be saved; "
            f"found {training.save_steps}"
        )
    resume = training.resume_from_checkpoint
    if resume not in (None, LATEST) and Path(resume).resolve().parent != Path(training.output_dir).resolve():
        raise TrainingError(
            f"--resume_from_checkpoint: expected {LATEST!r} or a checkpoint-* folder in --output_dir, found {resume!r}"
        )


def _check_method(arguments: Arguments) -> None:
    """Rejects unknown methods, values out of range, and options that do not go together."""
    encoder, method = arguments.encoder, arguments.method
    for name, known in (("loss", LOSSES), ("class_weights", CLASS_WEIGHTS)):
        if getattr(method, name) not in known:
            raise TrainingError(f"--{name}: expected {' or '.join(known)}, found {getattr(method, name)!r}")
    most_seeds = MAX_SEED - arguments.training.seed + 1
    ranges: dict[str, tuple[float | None, Callable[[Any], bool], str]] = {
        "attention_dropout": (encoder.attention_dropout, lambda value: 0 <= value < 1, "0 or more and less than 1"),
        "dropout": (encoder.dropout, lambda value: 0 <= value < 1, "0 or more and less than 1"),
        "focal_gamma": (method.focal_gamma, lambda value: 0 <= value < math.inf, "0 or more"),
        "distillation_weight": (method.distillation_weight, lambda value: 0 <= value <= 1, "0 to 1"),
        "distillation_temperature": (
            method.distillation_temperature,
            lambda value: 0 < value < math.inf,
            "a number above 0",
        ),
        "target_precision": (method.target_precision, lambda value: 0 < value <= 1, "more than 0 and at most 1"),
        "early_stopping_patience": (method.early_stopping_patience, lambda value: value >= 1, "1 or more"),
        "student_layers": (encoder.student_layers, lambda value: value >= 1, "1 or more"),
        "seeds": (method.seeds, lambda value: 1 <= value <= most_seeds, f"1 to {most_seeds}"),
    }
    for name, (value, holds, expected) in ranges.items():
        if value is not None and not holds(value):
            raise TrainingError(f"--{name}: expected {expected}, found {value}")
    if encoder.student_layers is not None and encoder.teacher is None:
        raise TrainingError("--student_layers requires --teacher, whose layers the student starts from")
