"""The arguments as dataclasses: three groups of ours, and transformers' own with defaults for fine-tuning."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from transformers import TrainingArguments

from ..parser import TRAINING


@dataclass
class DataArguments:
    """What to train on."""

    _argument_group_name = "data"

    dataset: str | None = field(default=None, metadata={"help": "Embedded data set instead of files: wisconsin."})
    train_file: str | None = field(default=None, metadata={"help": "Labelled file: CSV, TSV or JSON Lines."})
    validation_file: str | None = field(
        default=None, metadata={"help": "Labelled file of the same layout. If not given, split off --train_file."}
    )
    test_file: str | None = field(
        default=None, metadata={"help": "Labelled file of the same layout. If not given, split off --train_file."}
    )
    column_names: list[str] = field(
        default_factory=list, metadata={"help": "Names of all columns, for files without a header."}
    )
    text_columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns of text, joined by a space into one text."}
    )
    label_columns: list[str] = field(
        default_factory=list, metadata={"help": "One column of labels, or several columns of 0/1 or TRUE/FALSE."}
    )
    label_separator: str | None = field(
        default=None, metadata={"help": "Characters between the labels in one column. Makes the task multi-label."}
    )
    label_names_file: str | None = field(
        default=None, metadata={"help": "File with the names of labels that are numbered from 0, one per line."}
    )
    label_order: list[str] = field(
        default_factory=list,
        metadata={
            "help": "All labels, in the order of the checkpoint. If not given, as in --label_names_file or "
            "--label_columns, else alphabetical."
        },
    )
    delimiter: str | None = field(
        default=None, metadata={"help": "Character between the fields. If not given, chosen by the file's suffix."}
    )
    quoting: bool = field(default=True, metadata={"help": "Whether fields may be enclosed in double quotes."})
    encoding: str = field(
        default="utf-8", metadata={"help": "Encoding of the files. A byte order mark takes precedence."}
    )
    cleaning: list[str] = field(
        default_factory=list,
        metadata={"help": "Cleaning steps in order, saved in tokenizer.json: nfkc, squeeze_spaces, drop:REGEX."},
    )
    test_size: float = field(
        default=0.2, metadata={"help": "Fraction of the rows for the test split, on which the model is evaluated once."}
    )
    validation_size: float = field(
        default=0.1,
        metadata={"help": "Fraction of the rows for the validation split, on which epoch and thresholds are chosen."},
    )
    split_seed: int = field(default=42, metadata={"help": "Random seed of the splits, independent of --seed."})


@dataclass
class EncoderArguments:
    """Which encoder to start from, and how much of a text it reads."""

    _argument_group_name = "encoder"

    model_name_or_path: str = field(
        default="packaged:minilm", metadata={"help": "Encoder: a folder, a hub id, or packaged:minilm."}
    )
    revision: str = field(default="main", metadata={"help": "Branch, tag or commit of a hub id."})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Run code that comes with the encoder. Read that code first."}
    )
    max_length: int = field(default=256, metadata={"help": "Tokens per text. Longer texts are truncated."})
    attention_dropout: float | None = field(
        default=0.0,
        metadata={
            "help": "Dropout on attention weights. Above 0 it slows CPU training about 1.5x; most encoders use 0.1."
        },
    )
    dropout: float | None = field(
        default=None,
        metadata={"help": "Dropout in the classification head. If not given, that of the encoder's config."},
    )
    teacher: str | None = field(
        default=None, metadata={"help": "Checkpoint with the same labels; the model also learns from its scores."}
    )
    student_layers: int | None = field(
        default=None,
        metadata={"help": "Start from this many of the teacher's layers instead of --model_name_or_path."},
    )

    @property
    def origin(self) -> str:
        """What the training starts from: a name, or the teacher's folder."""
        return self.model_name_or_path if self.teacher is None or self.student_layers is None else self.teacher


@dataclass
class MethodArguments:
    """How the model learns, and what the report contains."""

    _argument_group_name = "method and report"

    head_start: bool = field(
        default=True,
        metadata={"help": "Initialize the classification layer with a logistic regression on the frozen encoder."},
    )
    loss: str = field(
        default="cross_entropy", metadata={"help": "cross_entropy, or focal for labels of uneven frequency."}
    )
    focal_gamma: float = field(
        default=2.0, metadata={"help": "Focal-loss gamma: larger values down-weight easy examples more."}
    )
    class_weights: str = field(
        default="none", metadata={"help": "none, or balanced to give rare labels more weight in the loss."}
    )
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after this many evaluations without improvement."}
    )
    distillation_weight: float = field(
        default=0.5,
        metadata={"help": "Weight of the teacher's scores in the loss, 0 to 1. The labels get the rest."},
    )
    distillation_temperature: float = field(
        default=2.0, metadata={"help": "Temperature that softens the scores of teacher and student in the loss."}
    )
    target_precision: float | None = field(
        default=None,
        metadata={"help": "Single-label: precision to reach. Below the matching score the classifier abstains."},
    )
    baselines: bool = field(
        default=False,
        metadata={"help": "Compare with four linear models on TF-IDF, tuned on the validation split."},
    )
    seeds: int = field(
        default=1,
        metadata={"help": "Train with this many seeds, starting at --seed, and report mean and standard deviation."},
    )
    show_text: bool = field(
        default=False,
        metadata={"help": "Show the texts of wrong predictions in the report, not just their row numbers."},
    )


@dataclass
class FineTuningArguments(TrainingArguments):
    """transformers' arguments with defaults for fine-tuning; the epoch that is best on the validation split is kept.

    On the command line, `use_cpu` and `bf16` are None unless one of them is passed.
    """

    _argument_group_name = TRAINING

    output_dir: str = field(metadata={"help": "Folder for the checkpoint; new or empty, except to resume."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate of AdamW."})
    warmup_steps: float = field(
        default=0.1, metadata={"help": "Warm-up steps of the learning rate. Below 1, a fraction of all steps."}
    )
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Rows per training step and device."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Rows per evaluation step and device."})
    use_cpu: bool = field(default=False, metadata={"help": "Train on the CPU. If not given, only if there is no GPU."})
    bf16: bool = field(
        default=False,
        metadata={"help": "Train in bf16. If not given, on for CPUs with bf16 instructions, unless --fp16."},
    )
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={"help": "random, sequential, or group_by_length, which keeps padding small."},
    )
    eval_strategy: str = field(
        default="epoch", metadata={"help": "When to evaluate on the validation split: no, steps or epoch."}
    )
    save_strategy: str = field(
        default="epoch", metadata={"help": "When to save a trainer checkpoint. Same values as --eval_strategy."}
    )
    save_total_limit: int | None = field(
        default=1, metadata={"help": "How many trainer checkpoints to keep besides the best one."}
    )
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "Keep the best checkpoint rather than the last one."}
    )
    metric_for_best_model: str | None = field(
        default="auto",
        metadata={"help": "Metric that selects the best checkpoint. auto: macro_f1, for multi-label micro_f1."},
    )
    logging_steps: float = field(
        default=20, metadata={"help": "Number of steps between two reported values of the training loss."}
    )
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "When resuming, restore the state of early stopping."}
    )
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={
            "help": "latest: resume the newest trainer checkpoint in --output_dir, or start if there is none. "
            "Or a checkpoint-* folder in it."
        },
    )

    def __post_init__(self) -> None:
        """Chooses device and bf16 unless they are given: bf16 wherever it is faster, unless fp16 is given."""
        if self.use_cpu is None:
            self.use_cpu = not torch.cuda.is_available()
        if self.bf16 is None:
            self.bf16 = self.use_cpu and not self.fp16 and _cpu_has_bf16()
        super().__post_init__()  # type: ignore[no-untyped-call]  # transformers does not annotate it


class Arguments(NamedTuple):
    """A whole command line."""

    data: DataArguments
    encoder: EncoderArguments
    method: MethodArguments
    training: FineTuningArguments


def _cpu_has_bf16() -> bool:
    """Returns whether the CPU has bf16 instructions; elsewhere PyTorch emulates bf16, slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
