"""Fine-tunes an encoder on a data set with transformers' Trainer; its logits are judged elsewhere."""

import copy
import inspect
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    set_seed,
)

from ..arguments import Arguments, FineTuningArguments
from ..arrays import Floats
from ..data.dataset import LabelledData, Split
from ..data.labels import Task
from ..decisions.learning import Decisions, best_threshold, decide
from ..decisions.metrics import METRICS, quality
from ..errors import DataError, TrainingError, reason
from ..output_dir import last_state
from ..phases import phase
from .distillation import Teacher, initial_model, load_teacher
from .inference import predict_logits, truncate_texts
from .linear_probe import fit_head
from .loss import Objective, balanced_weights

TEACHER_LOGITS = "teacher_logits"
TRAIN_SAMPLE = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model, and what it says.

    Attributes:
        model: The best on the validation part, in fp32.
        tokenizer: Its tokenizer.
        logits: (rows, labels) float32 of the parts by name; of the training part only the rows of `sample`.
        teacher_logits: The teacher's on validation and test; nothing without one.
        sample: Row numbers within the training part, at most `TRAIN_SAMPLE`, drawn at random.
        cut: How many texts of each part are longer than `max_length`.
        history: What the Trainer logged.
        epochs: How many were trained; fewer than planned after an early stop.
        train_seconds: Of training alone, evaluations on the way included; after a resume those since then.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    logits: dict[str, Floats]
    teacher_logits: dict[str, Floats]
    sample: np.ndarray
    cut: dict[str, int]
    history: list[dict[str, Any]]
    epochs: float
    train_seconds: float


class ClassifierTrainer(Trainer):
    """A Trainer that minimises an `Objective`."""

    loss_is_scaled_for_ga = False  # a mean over the batch, which the Trainer divides by the accumulated batches

    def __init__(self, objective: Objective, **settings: Any) -> None:
        super().__init__(**settings)
        self.objective = objective
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the mean of the batch is enough
    ) -> Any:
        """Runs the model without its own loss, and computes ours."""
        features = {name: value for name, value in inputs.items() if name not in ("labels", TEACHER_LOGITS)}
        outputs = model(**features)
        loss = self.objective(outputs.logits, inputs["labels"], inputs.get(TEACHER_LOGITS))
        return (loss, outputs) if return_outputs else loss


def fine_tune(data: LabelledData, arguments: Arguments) -> FineTuned | None:
    """Trains, keeps the checkpoint that is best on the validation part, and runs it on all parts.

    Returns:
        What came of it; None in all processes but the first, if there are several.

    Raises:
        DataError: A text has no tokens.
        EncoderError: The encoder or the teacher cannot be used.
        TrainingError: An argument is not usable, or the training diverged.
    """
    training = _adjusted(arguments.training, data.task)
    set_seed(training.seed)
    teacher = None
    with phase("loading the encoder"):
        if arguments.encoder.teacher is not None:
            teacher = load_teacher(arguments, data)
            teacher.model.to(training.device)
        encoder, tokenizer = initial_model(arguments.encoder, data, arguments.data, teacher)
        encoder.model.to(training.device)
    datasets, cut = {}, {}
    with phase("tokenizing"):
        for name, part in data.parts.items():
            datasets[name], cut[name] = tokenized(part, name, tokenizer, encoder.model)
    state = last_state(training)
    if arguments.method.head_start and encoder.new_head and state is None:
        with phase("head start"):
            fit_head(encoder.model, tokenizer, data.train, data.task, seed=training.seed, bf16=training.bf16)
    if teacher is not None:
        with phase("teacher's scores"):
            soft = predict_logits(teacher.model, teacher.tokenizer, data.train.texts, bf16=training.bf16)
        datasets["train"] = datasets["train"].add_column(TEACHER_LOGITS, list(soft))
    trainer = _trainer(
        objective=_objective(data, arguments),
        model=encoder.model,
        args=training,
        train_dataset=datasets["train"],
        eval_dataset=datasets["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda prediction: _epoch_quality(prediction, data.task),
        callbacks=_callbacks(arguments),
    )
    started = time.monotonic()
    with phase("training"):
        _train(trainer, state)
    train_seconds = time.monotonic() - started
    if training.process_index:
        return None
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    sample = np.sort(np.random.default_rng(training.seed).permutation(len(data.train.texts))[:TRAIN_SAMPLE])
    with phase("final evaluation"):
        logits = {
            "train": predict_logits(model, tokenizer, [data.train.texts[row] for row in sample], bf16=training.bf16),
            "validation": predict_logits(model, tokenizer, data.validation.texts),
            "test": predict_logits(model, tokenizer, data.test.texts),
        }
        teacher_logits = _teacher_logits(teacher, data)
    if not all(np.isfinite(found).all() for found in logits.values()):
        raise TrainingError("the training diverged: logits are not numbers; lower --learning_rate")
    return FineTuned(
        model,
        tokenizer,
        logits,
        teacher_logits,
        sample,
        cut,
        trainer.state.log_history,
        float(trainer.state.epoch or 0),
        train_seconds,
    )


def _train(trainer: Trainer, state: str | None) -> None:
    """Trains; whatever stops transformers becomes one line."""
    try:
        trainer.train(resume_from_checkpoint=state)
    except Exception as error:  # disk, package, option, memory
        raise TrainingError(f"the training stopped: {reason(error)}") from error


def _adjusted(training: FineTuningArguments, task: Task) -> FineTuningArguments:
    """Names the metric, and has the Trainer hand our own columns through."""
    metric = _metric(training.metric_for_best_model, task)
    changed = copy.copy(training)
    changed.metric_for_best_model, changed.remove_unused_columns = metric, False
    changed.greater_is_better = not metric.endswith("loss")
    return changed


def _objective(data: LabelledData, arguments: Arguments) -> Objective:
    method = arguments.method
    balanced = method.class_weights == "balanced"
    return Objective(
        data.task,
        balanced_weights(data.train.targets, data.task, len(data.labels)) if balanced else None,
        method.focal_gamma if method.loss == "focal" else 0.0,
        arguments.training.label_smoothing_factor,
        method.distillation_weight if arguments.encoder.teacher is not None else 0.0,
        method.distillation_temperature,
    )


def _callbacks(arguments: Arguments) -> list[EarlyStoppingCallback]:
    patience = arguments.method.early_stopping_patience
    if patience is None:
        return []
    if not arguments.training.load_best_model_at_end:
        raise TrainingError("--early_stopping_patience goes by the best checkpoint; pass --load_best_model_at_end true")
    return [EarlyStoppingCallback(patience)]


def _trainer(**settings: Any) -> ClassifierTrainer:
    try:
        return ClassifierTrainer(**settings)
    except Exception as error:  # whatever an option makes transformers stumble over
        raise TrainingError(f"{reason(error)}; see python -m training --help") from error


def _epoch_quality(prediction: EvalPrediction, task: Task) -> dict[str, float]:
    """Judges an epoch on the validation part; multi-label with the one threshold that suits all labels best.

    The label ids are those of the prediction, not the part's: grouping by length reorders evaluation, too.
    """
    logits, targets = prediction.predictions, prediction.label_ids
    decisions = Decisions()
    if task == "multi_label":
        found = 1 / (1 + np.exp(-logits.astype(np.float64)))
        decisions = Decisions(thresholds=(best_threshold(found.ravel(), targets.ravel()),) * logits.shape[1])
    return quality(decide(logits, task, decisions), targets, task)


def _teacher_logits(teacher: Teacher | None, data: LabelledData) -> dict[str, Floats]:
    if teacher is None:
        return {}
    return {
        name: predict_logits(teacher.model, teacher.tokenizer, data.parts[name].texts)
        for name in ("validation", "test")
    }


def _metric(asked: str | None, task: Task) -> str:
    """Returns the metric that picks the best checkpoint: for `auto` the first of the task's."""
    known = (*METRICS[task], "loss")
    if asked in (None, "auto"):
        return known[0]
    if asked.removeprefix("eval_") not in known:
        raise TrainingError(f"--metric_for_best_model: expected {', '.join(known)}, found {asked!r}")
    return asked


def tokenized(
    part: Split, name: str, tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel
) -> tuple[Dataset, int]:
    """Tokenizes a part once, in memory, without padding: texts do not go to a cache on disk.

    Returns:
        The columns that the model reads, and how many texts were cut.

    Raises:
        DataError: A text has no tokens, such as one of nothing but characters without a width.
    """
    encoded = tokenizer(truncate_texts(tokenizer, part.texts), truncation=True)
    special = tokenizer.num_special_tokens_to_add()
    empty = [row for row, encoding in zip(part.rows, encoded.encodings, strict=True) if len(encoding) <= special]
    if empty:
        raise DataError(
            f"{len(empty)} texts of the {name} part have no character that the encoder reads, the first is row "
            f"{min(empty) + 1} of its file; remove them"
        )
    known = inspect.signature(model.forward).parameters
    columns = {name: column for name, column in encoded.items() if name in known}
    cut = sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    return Dataset.from_dict({**columns, "labels": list(part.targets)}), cut
