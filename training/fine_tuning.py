"""Fine-tunes an encoder on a data set with transformers' Trainer and judges it once on the test part."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    set_seed,
)

from .arguments import DataArguments, FineTuningArguments
from .data import LabelledData, Part
from .encoder import load_model, load_tokenizer
from .errors import TrainingError
from .labels import Task
from .metrics import METRICS, decide, quality

TEXTS_PER_BATCH = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model, its tokenizer, and its figures on the validation and test parts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    metrics: dict[str, dict[str, float]]


def fine_tune(data: LabelledData, arguments: DataArguments, training: FineTuningArguments) -> FineTuned:
    """Trains, keeps the checkpoint that is best on the validation part, and measures it on validation and test.

    Raises:
        EncoderError: The encoder cannot be used.
        TrainingError: An argument is not usable, or the training diverged.
    """
    set_seed(training.seed)
    tokenizer = load_tokenizer(arguments)
    model = load_model(arguments, data)
    training = copy.copy(training)
    training.metric_for_best_model = _metric(training.metric_for_best_model, data.task)
    datasets = {name: _tokenized(part, tokenizer, arguments.max_length) for name, part in data.parts.items()}
    cut = sum(length == arguments.max_length for length in datasets["train"]["length"])
    if cut:
        logger.warning(
            "%d of %d training texts fill all %d tokens; their ends may be cut",
            cut,
            len(datasets["train"]),
            arguments.max_length,
        )

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        # The label ids of the prediction, not the part's: grouping by length reorders evaluation, too.
        return quality(decide(prediction.predictions, data.task), prediction.label_ids, data.task)

    trainer = _trainer(
        model=model,
        args=training,
        train_dataset=datasets["train"],
        eval_dataset=datasets["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    tuned = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    metrics = {}
    for name in ("validation", "test"):
        part = data.parts[name]
        logits = predict_logits(tuned, tokenizer, part.texts)
        if not np.isfinite(logits).all():
            raise TrainingError("the training diverged: logits are not numbers; lower --learning_rate")
        metrics[name] = quality(decide(logits, data.task), part.targets, data.task)
    return FineTuned(tuned, tokenizer, metrics)


def _trainer(**settings: Any) -> Trainer:
    try:
        return Trainer(**settings)
    except (ValueError, ImportError, RuntimeError) as error:
        raise TrainingError(f"{' '.join(str(error).split())}; see python -m training --help") from error


def predict_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Runs a model in its own precision, whatever precision it was trained in.

    Args:
        model: A classifier.
        tokenizer: Its tokenizer, which knows the length to cut at.
        texts: In any number.

    Returns:
        (texts, labels) float32, in the order of the texts.
    """
    model.eval()
    rows = []
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        batch = list(texts[start : start + TEXTS_PER_BATCH])
        inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            rows.append(model(**inputs).logits.float().cpu().numpy())
    return np.concatenate(rows)


def _metric(asked: str | None, task: Task) -> str:
    """Returns the metric that picks the best checkpoint: for `auto` the first of the task's."""
    known = (*METRICS[task], "loss")
    if asked in (None, "auto"):
        return known[0]
    if asked.removeprefix("eval_") not in known:
        raise TrainingError(f"--metric_for_best_model: expected {', '.join(known)}, found {asked!r}")
    return asked


def _tokenized(part: Part, tokenizer: PreTrainedTokenizerFast, max_length: int) -> Dataset:
    """Tokenizes a part once, in memory, without padding: texts do not go to a cache on disk."""
    columns = dict(tokenizer(list(part.texts), truncation=True, max_length=max_length))
    length = [len(ids) for ids in columns["input_ids"]]
    return Dataset.from_dict({**columns, "length": length, "labels": list(part.targets)})
