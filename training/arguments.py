"""The training command's arguments: three dataclasses of ours, and transformers' own with defaults for fine-tuning.

A JSON recipe holds the same names; what the command line says comes after it and wins.
"""

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import TrainingArguments
from transformers.integrations import get_available_reporting_integrations

from .errors import TrainingError, reason
from .parser import TRAINING, GroupedParser

LATEST = "latest"
LOSSES = ("cross_entropy", "focal")
SAMPLING = ("random", "sequential", "group_by_length")
CLASS_WEIGHTS = ("none", "balanced")
MAX_SEED = 2**32 - 1


@dataclass
class DataArguments:
    """What to train on."""

    _argument_group_name = "data"

    dataset: str | None = field(default=None, metadata={"help": "An embedded data set: wisconsin."})
    train_file: str | None = field(default=None, metadata={"help": "Labelled file: CSV, TSV or JSON Lines."})
    validation_file: str | None = field(
        default=None, metadata={"help": "Labelled file of the same layout; default: cut from --train_file."}
    )
    test_file: str | None = field(
        default=None, metadata={"help": "Labelled file of the same layout; default: cut from --train_file."}
    )
    column_names: list[str] = field(
        default_factory=list, metadata={"help": "Names of all columns, for files without a header."}
    )
    text_columns: list[str] = field(default_factory=list, metadata={"help": "Columns joined by a space to one text."})
    label_columns: list[str] = field(
        default_factory=list, metadata={"help": "One column of labels, or several of 0/1 or TRUE/FALSE."}
    )
    label_separator: str | None = field(
        default=None, metadata={"help": "Stands between the labels of one column; makes the task multi-label."}
    )
    label_names_file: str | None = field(
        default=None, metadata={"help": "Names of labels that the files give as numbers from 0; one per line."}
    )
    delimiter: str | None = field(default=None, metadata={"help": "Between the fields; default: by the file's suffix."})
    quoting: bool = field(default=True, metadata={"help": "A field may stand between double quotes."})
    encoding: str = field(default="utf-8", metadata={"help": "Of the files; a byte order mark wins."})
    cleaning: list[str] = field(
        default_factory=list,
        metadata={"help": "Steps in order, kept in tokenizer.json: nfkc, squeeze_spaces, drop:REGEX."},
    )
    test_size: float = field(default=0.2, metadata={"help": "Share of the rows that judges the result."})
    validation_size: float = field(
        default=0.1, metadata={"help": "Share of the rows that every decision is made on: epoch, thresholds, int8."}
    )
    split_seed: int = field(default=42, metadata={"help": "Seed of the split; independent of --seed."})


@dataclass
class EncoderArguments:
    """Which encoder to start from, and what it reads."""

    _argument_group_name = "encoder"

    model_name_or_path: str = field(
        default="packaged:minilm", metadata={"help": "A folder, a hub id, or packaged:minilm."}
    )
    revision: str = field(default="main", metadata={"help": "Branch, tag or commit of a hub id."})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Run code that comes with the encoder. Read it first."}
    )
    max_length: int = field(default=256, metadata={"help": "Tokens per text; longer texts are cut."})
    attention_dropout: float | None = field(
        default=0.0, metadata={"help": "On a CPU, more than 0 takes half as long again; encoders have 0.1 as a rule."}
    )
    teacher: str | None = field(
        default=None, metadata={"help": "Checkpoint of the same labels whose scores the model learns, too."}
    )
    student_layers: int | None = field(
        default=None, metadata={"help": "Start from this many of the teacher's layers, not from --model_name_or_path."}
    )

    @property
    def origin(self) -> str:
        """What the training starts from."""
        return self.model_name_or_path if self.teacher is None or self.student_layers is None else self.teacher


@dataclass
class MethodArguments:
    """How it learns, what it decides, and what the report tells."""

    _argument_group_name = "method and report"

    head_start: bool = field(
        default=True, metadata={"help": "Start the classification layer from a regression on the untrained encoder."}
    )
    loss: str = field(default="cross_entropy", metadata={"help": "cross_entropy, or focal for uneven labels."})
    focal_gamma: float = field(default=2.0, metadata={"help": "Of the focal loss: how little easy rows count."})
    class_weights: str = field(default="none", metadata={"help": "none, or balanced: rare labels count more."})
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after so many evaluations without a better one."}
    )
    distillation_weight: float = field(
        default=0.5, metadata={"help": "Share of the teacher's scores in the loss, 0 to 1; the rest are the labels."}
    )
    distillation_temperature: float = field(
        default=2.0, metadata={"help": "Softens the scores of teacher and student before they are compared."}
    )
    target_precision: float | None = field(
        default=None,
        metadata={"help": "Single-label: abstain where the score is too low for this share of right answers."},
    )
    baselines: bool = field(
        default=False,
        metadata={"help": "Also fit four linear models on TF-IDF: same rows, same class weights, tuned on validation."},
    )
    seeds: int = field(
        default=1,
        metadata={"help": "Train with --seed and the seeds after it, this many in all, and report the spread."},
    )
    show_text: bool = field(
        default=False, metadata={"help": "Put texts of mistakes into the report; by default row numbers only."}
    )


@dataclass
class FineTuningArguments(TrainingArguments):
    """transformers' arguments; the epoch that does best on the validation part is kept.

    On the command line, `use_cpu` and `bf16` are None where nobody has asked for either.
    """

    _argument_group_name = TRAINING

    output_dir: str = field(metadata={"help": "New or empty folder for the checkpoint."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate of AdamW."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps of warm-up; below 1, a share of all steps."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Rows per training step and device."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Rows per evaluation step and device."})
    use_cpu: bool = field(default=False, metadata={"help": "Train on the CPU; by default where there is no GPU."})
    bf16: bool = field(
        default=False, metadata={"help": "Train in bf16; by default on a CPU that has it, unless --fp16 is asked for."}
    )
    train_sampling_strategy: str = field(default="group_by_length", metadata={"help": "Keeps padding small."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate on the validation part."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save; as --eval_strategy."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Checkpoints kept beside the best."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Keep the best checkpoint, not the last."})
    metric_for_best_model: str | None = field(
        default="auto", metadata={"help": "auto: macro_f1 for single-label, micro_f1 for multi-label."}
    )
    logging_steps: float = field(default=20, metadata={"help": "Steps between two lines of progress."})
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Early stopping counts on after a resume."}
    )
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={"help": "latest: go on in --output_dir after a kill, or start there; or one of its checkpoint-*."},
    )

    def __post_init__(self) -> None:
        """Chooses the device and bf16 where nobody has: bf16 wherever it is faster, unless fp16 is asked for."""
        if self.use_cpu is None:
            self.use_cpu = not torch.cuda.is_available()
        if self.bf16 is None:
            self.bf16 = self.use_cpu and not self.fp16 and _cpu_has_bf16()
        super().__post_init__()


class Arguments(NamedTuple):
    """A whole command line."""

    data: DataArguments
    encoder: EncoderArguments
    method: MethodArguments
    training: FineTuningArguments


def parse_args(argv: Sequence[str]) -> Arguments:
    """Parses the command line; a first argument that ends in `.json` is a recipe.

    On a CPU that has bf16 it is on by default: it trains about 1.5 times faster than fp32. What is asked for wins.

    Raises:
        TrainingError: The recipe cannot be read, or an argument is not acceptable.
        SystemExit: The command line is wrong (status 2).
    """
    parser = GroupedParser(
        (DataArguments, EncoderArguments, MethodArguments, FineTuningArguments),
        own=FineTuningArguments.__annotations__,
        prog="python -m training",
        usage="%(prog)s [RECIPE.json] [options] --output_dir FOLDER",
        allow_abbrev=False,
    )
    parser.set_defaults(disable_tqdm=not sys.stderr.isatty(), use_cpu=None, bf16=None)
    given = list(argv)
    if given and given[0].endswith(".json"):
        given[:1] = _recipe(given[0])
    if any(_has_surrogates(word) for word in given):
        raise TrainingError("the command line is not UTF-8; rename the file or folder")
    try:
        arguments = Arguments(*parser.parse_args_into_dataclasses(given, look_for_args_file=False))
    except json.JSONDecodeError as error:
        raise TrainingError(f"an option's value begins like a JSON object and is none: {error}") from error
    except Exception as error:  # transformers checks some values, and stumbles over others
        raise TrainingError(f"{reason(error)}; see python -m training --help") from error
    _check_numbers(arguments.training)
    _check_ignored(arguments.training)
    _check_training(arguments.training)
    _check_method(arguments)
    return arguments


def check_task(arguments: Arguments, task: str) -> None:
    """Refuses what multi-label data has no use for, once the data is known.

    Raises:
        TrainingError: An argument is for single-label data alone.
    """
    single_label = {
        "label_smoothing_factor": arguments.training.label_smoothing_factor,
        "target_precision": arguments.method.target_precision,
    }
    for name, value in single_label.items():
        if value and task == "multi_label":
            raise TrainingError(f"--{name} is for single-label data, and this is multi-label; leave it out")


def _check_numbers(training: FineTuningArguments) -> None:
    """Refuses numbers that would end in a stack trace, or in a model of NaN, much later."""
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
            f"--label_smoothing_factor: expected 0 up to, not including 1, found {training.label_smoothing_factor}"
        )
    if training.max_steps < 1 and not 0 < training.num_train_epochs < math.inf:
        raise TrainingError(f"--num_train_epochs: expected a number above 0, found {training.num_train_epochs}")


def _check_ignored(training: FineTuningArguments) -> None:
    """Refuses what transformers would take without a word, and what would end in a diverged training or no resume."""
    for name in ("weight_decay", "max_grad_norm"):
        if not 0 <= getattr(training, name) < math.inf:
            raise TrainingError(f"--{name}: expected 0 or more, found {getattr(training, name)}")
    if training.save_only_model:
        raise TrainingError("--save_only_model: a training resumes from its whole state; leave it out")
    if training.train_sampling_strategy not in SAMPLING:
        raise TrainingError(
            f"--train_sampling_strategy: expected {', '.join(SAMPLING)}, found {training.train_sampling_strategy!r}"
        )


def _check_training(training: FineTuningArguments) -> None:
    """Refuses what would take away what this training goes by: figures of every epoch, and states to go on from."""
    losing = {
        "prediction_loss_only": training.prediction_loss_only,
        "eval_do_concat_batches": not training.eval_do_concat_batches,
        "dataloader_drop_last": training.dataloader_drop_last,
        "label_names": training.label_names not in (None, ["labels"]),
    }
    for name, found in losing.items():
        if found:
            raise TrainingError(f"--{name}: without every row's logits and labels nothing is judged; leave it out")
    if isinstance(training.lr_scheduler_kwargs, str):
        raise TrainingError(f"--lr_scheduler_kwargs: expected a JSON object, found {training.lr_scheduler_kwargs!r}")
    if any("=" not in item for item in (training.optim_args or "=").replace(" ", "").split(",")):
        raise TrainingError(f"--optim_args: expected name=value, with commas between, found {training.optim_args!r}")
    loggers = get_available_reporting_integrations()
    for name in training.report_to:
        if name not in loggers:  # some of transformers' callbacks fail with a stack trace where they are not installed
            raise TrainingError(f"--report_to: {name!r} is not installed; expected none or {' or '.join(loggers)}")
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
    """Refuses methods that do not exist, and arguments that do not go together."""
    encoder, method = arguments.encoder, arguments.method
    for name, known in (("loss", LOSSES), ("class_weights", CLASS_WEIGHTS)):
        if getattr(method, name) not in known:
            raise TrainingError(f"--{name}: expected {' or '.join(known)}, found {getattr(method, name)!r}")
    ranges = {
        "attention_dropout": (encoder.attention_dropout, lambda value: 0 <= value < 1),
        "focal_gamma": (method.focal_gamma, lambda value: 0 <= value < math.inf),
        "distillation_weight": (method.distillation_weight, lambda value: 0 <= value <= 1),
        "distillation_temperature": (method.distillation_temperature, lambda value: 0 < value < math.inf),
        "target_precision": (method.target_precision, lambda value: 0 < value <= 1),
        "early_stopping_patience": (method.early_stopping_patience, lambda value: value >= 1),
        "student_layers": (encoder.student_layers, lambda value: value >= 1),
        "seeds": (method.seeds, lambda value: 1 <= value <= MAX_SEED - arguments.training.seed + 1),
    }
    for name, (value, inside) in ranges.items():
        if value is not None and not inside(value):
            raise TrainingError(f"--{name}: {value} is out of range; see python -m training --help")
    if encoder.student_layers is not None and encoder.teacher is None:
        raise TrainingError("--student_layers goes with --teacher, whose layers they are")


def _has_surrogates(word: str) -> bool:
    """Tells whether a word has bytes that Python could not decode."""
    return any("\ud800" <= character <= "\udfff" for character in word)


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
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"the recipe {path} is not JSON: {error}") from error
    if not isinstance(recipe, dict):
        raise TrainingError(f"the recipe {path}: expected a JSON object, found {type(recipe).__name__}")
    argv: list[str] = []
    for name, value in recipe.items():
        items = [str(item) for item in value] if isinstance(value, list) else []
        if value == "--" or any(item.startswith("-") for item in items):
            raise TrainingError(f"the recipe {path}: {name}: found what the command line takes for an option")
        if items:
            argv += [f"--{name}", *items]
        elif value not in (None, []):
            argv.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return argv
