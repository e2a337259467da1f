"""Fine-tunes an encoder on a data set with transformers' Trainer; the logits are evaluated elsewhere."""

import copy
import inspect
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
    PrinterCallback,
    ProgressCallback,
    Trainer,
    set_seed,
)

from runtime.artifact.manifest import Task

from ..arguments import Arguments, FineTuningArguments
from ..arrays import Floats, Integers
from ..data.dataset import LabelledData, Split
from ..decisions.learning import Decisions, best_threshold, decide
from ..decisions.metrics import METRICS, quality
from ..decisions.temperature import scores
from ..errors import DataError, TrainingError, reason
from ..output_dir import last_state
from ..phases import phase
from .distillation import Teacher, initial_model, load_teacher
from .encoder import Encoder
from .epoch_report import EpochReport
from .inference import predict_logits, truncate_texts
from .linear_probe import fit_head
from .loss import Objective, balanced_weights

TEACHER_LOGITS = "teacher_logits"
TRAIN_SAMPLE = 1000


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model and its logits.

    Attributes:
        model: The best one on the validation split, in fp32.
        tokenizer: Its tokenizer.
        logits: (rows, labels) float32 of each split by name; of the training split the rows of `sample` only.
        teacher_logits: The teacher's logits on validation and test split; empty without a teacher.
        sample: Row numbers within the training split, at most `TRAIN_SAMPLE`, drawn at random.
        truncated: How many texts of each split are longer than `max_length`.
        lengths: (rows,) int64 tokens of every text of the training split, after truncation.
        history: What the Trainer logged.
        epochs: How many were trained; fewer than planned after early stopping.
        train_seconds: Time of the training with its evaluations; after a resume, the time since then.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    logits: dict[str, Floats]
    teacher_logits: dict[str, Floats]
    sample: Integers
    truncated: dict[str, int]
    lengths: Integers
    history: list[dict[str, Any]]
    epochs: float
    train_seconds: float


class ClassifierTrainer(Trainer):
    """A Trainer that minimizes an `Objective`."""

    objective: Objective
    loss_is_scaled_for_ga = False  # a mean over the batch, which the Trainer divides by the accumulated batches

    def __init__(self, objective: Objective, **settings: Any) -> None:
        super().__init__(**settings)
        self.objective = objective
        self.model_accepts_loss_kwargs = False
        self._losses: list[torch.Tensor] = []

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the mean of the batch is enough
    ) -> Any:
        """Computes our loss from the model's logits, instead of the model's own loss."""
        features = {name: value for name, value in inputs.items() if name not in ("labels", TEACHER_LOGITS)}
        outputs = model(**features)
        loss = self.objective(outputs.logits, inputs["labels"], inputs.get(TEACHER_LOGITS))
        if model.training:
            self._losses.append(loss.detach())
        return (loss, outputs) if return_outputs else loss

    def mean_training_loss(self) -> float:
        """Returns the mean loss of the training batches since the last call."""
        losses, self._losses = self._losses, []
        return float(torch.stack(losses).mean()) if losses else float("nan")


def fine_tune(data: LabelledData, arguments: Arguments) -> FineTuned | None:
    """Trains, keeps the checkpoint that is best on the validation split, and runs it on all splits.

    Returns:
        The model and its logits; None in all processes but the first, if there are several.

    Raises:
        DataError: A text has no tokens.
        EncoderError: The encoder or the teacher cannot be used.
        TrainingError: An argument is not usable, or the training diverged.
    """
    training = _adjusted(arguments.training, data.task)
    set_seed(training.seed)
    with phase("loading the encoder"):
        encoder, tokenizer, teacher = _load(data, arguments)
    datasets, truncated = _tokenize(data, tokenizer, encoder.model)
    state = last_state(training)
    if arguments.method.head_start and encoder.new_head and state is None:
        fit_head(encoder.model, tokenizer, data.train, data.task, seed=training.seed, bf16=training.bf16)
    if teacher is not None:
        soft = _teacher_scores(teacher, data.train, bf16=training.bf16)
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
    _train(trainer, state, data.task)
    train_seconds = time.monotonic() - started
    if training.process_index:
        return None
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    sample = np.sort(np.random.default_rng(training.seed).permutation(len(data.train.texts))[:TRAIN_SAMPLE])
    logits, teacher_logits = _final_logits(model, tokenizer, teacher, data, sample, bf16=training.bf16)
    return FineTuned(
        model,
        tokenizer,
        logits,
        teacher_logits,
        sample,
        truncated,
        np.array([len(ids) for ids in datasets["train"]["input_ids"]], np.int64),
        trainer.state.log_history,
        float(trainer.state.epoch or 0),
        train_seconds,
    )


def _load(data: LabelledData, arguments: Arguments) -> tuple[Encoder, PreTrainedTokenizerFast, Teacher | None]:
    """Loads the model to train and its tokenizer, and the teacher if there is one; models are on the device."""
    device, teacher = arguments.training.device, None
    if arguments.encoder.teacher is not None:
        teacher = load_teacher(arguments, data)
        torch.nn.Module.to(teacher.model, device)
    encoder, tokenizer = initial_model(arguments.encoder, data, arguments.data, teacher)
    torch.nn.Module.to(encoder.model, device)
    return encoder, tokenizer, teacher


def _tokenize(
    data: LabelledData, tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel
) -> tuple[dict[str, Dataset], dict[str, int]]:
    """Tokenizes every split; returns the data sets, and how many texts of each were truncated."""
    datasets, truncated = {}, {}
    with phase("tokenizing", sum(len(split.texts) for split in data.splits.values())) as running:
        for name, split in data.splits.items():
            datasets[name], truncated[name] = tokenized(split, name, tokenizer, model)
            running.advance(len(split.texts))
    return datasets, truncated


def _teacher_scores(teacher: Teacher, train: Split, *, bf16: bool) -> Floats:
    """Runs the teacher on the training split."""
    with phase("teacher's scores", len(train.texts)) as running:
        return predict_logits(teacher.model, teacher.tokenizer, train.texts, bf16=bf16, advance=running.advance)


def _train(trainer: ClassifierTrainer, state: str | None, task: Task) -> None:
    """Trains; any error of transformers becomes one line."""
    metric = (trainer.args.metric_for_best_model or "loss").removeprefix("eval_")
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    with phase("training") as running:
        shown = METRICS[task][0] if metric == "loss" else metric
        trainer.add_callback(EpochReport(running, shown, trainer.mean_training_loss))
        try:
            trainer.train(resume_from_checkpoint=state)
        except Exception as error:  # disk, package, option, memory
            raise TrainingError(f"the training stopped: {reason(error)}") from error


def _final_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    teacher: Teacher | None,
    data: LabelledData,
    sample: Integers,
    *,
    bf16: bool,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Runs the model on all splits, and the teacher on validation and test split.

    Raises:
        TrainingError: The logits are not finite numbers.
    """
    held_out = {"validation": data.validation.texts, "test": data.test.texts}
    rows = sum(map(len, held_out.values()))
    with phase("final evaluation", len(sample) + rows * (1 if teacher is None else 2)) as running:
        sampled = [data.train.texts[row] for row in sample]
        logits = {"train": predict_logits(model, tokenizer, sampled, bf16=bf16, advance=running.advance)}
        teacher_logits = {}
        for name, texts in held_out.items():
            logits[name] = predict_logits(model, tokenizer, texts, advance=running.advance)
            if teacher is not None:
                soft = predict_logits(teacher.model, teacher.tokenizer, texts, advance=running.advance)
                teacher_logits[name] = soft
    if not all(np.isfinite(items).all() for items in logits.values()):
        raise TrainingError("the training diverged: logits are not finite numbers; lower --learning_rate")
    return logits, teacher_logits


def _adjusted(training: FineTuningArguments, task: Task) -> FineTuningArguments:
    """Returns the arguments with the name of the metric, and with all columns kept for our loss."""
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
        raise TrainingError("--early_stopping_patience requires --load_best_model_at_end true")
    return [EarlyStoppingCallback(patience)]


def _trainer(**settings: Any) -> ClassifierTrainer:
    try:
        return ClassifierTrainer(**settings)
    except Exception as error:  # transformers fails on some options with errors of any kind
        raise TrainingError(f"{reason(error)}; see python -m training --help") from error


def _epoch_quality(prediction: EvalPrediction, task: Task) -> dict[str, float]:
    """Evaluates an epoch on the validation split; multi-label with the threshold that is best for all labels together.

    The targets are the prediction's, not the split's: grouping by length reorders the evaluation as well.
    """
    logits, targets = prediction.predictions, prediction.label_ids
    assert isinstance(logits, np.ndarray)
    assert isinstance(targets, np.ndarray)
    decisions = Decisions()
    if task == "multi_label":
        threshold = best_threshold(scores(logits, task, 1.0).ravel(), targets.ravel())
        decisions = Decisions(thresholds=(threshold,) * logits.shape[1])
    return quality(decide(logits, task, decisions), targets, task)


def _metric(asked: str | None, task: Task) -> str:
    """Returns the metric that selects the best checkpoint: for `auto`, the first metric of the task."""
    known = (*METRICS[task], "loss")
    if asked in (None, "auto"):
        return known[0]
    if asked.removeprefix("eval_") not in known:
        raise TrainingError(f"--metric_for_best_model: expected {', '.join(known)}, found {asked!r}")
    return asked


def tokenized(
    split: Split, name: str, tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel
) -> tuple[Dataset, int]:
    """Tokenizes a split once, in memory, without padding; texts do not go to a cache on disk.

    Returns:
        The columns that the model reads, and how many texts were truncated.

    Raises:
        DataError: A text has no tokens, for example because it consists of zero-width characters.
    """
    encoded = tokenizer(truncate_texts(tokenizer, split.texts), truncation=True)
    special = tokenizer.num_special_tokens_to_add()
    empty = [row for row, encoding in zip(split.rows, encoded.encodings, strict=True) if len(encoding) <= special]
    if empty:
        raise DataError(
            f"{len(empty)} texts of the {name} split have no character that the encoder reads; the first is row "
            f"{min(empty) + 1} of its file; remove them"
        )
    known = inspect.signature(model.forward).parameters
    columns = {name: column for name, column in encoded.items() if name in known}
    truncated = sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    return Dataset.from_dict({**columns, "labels": list(split.targets)}), truncated
