"""Fine-tunes an encoder on a data set with transformers' Trainer and judges it once on the test part."""

import logging
from dataclasses import dataclass

import numpy as np
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
        TrainingError: A cleaning step is wrong, or the metric that picks the best checkpoint is unknown.
    """
    set_seed(training.seed)
    tokenizer = load_tokenizer(arguments)
    model = load_model(arguments, data)
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

    trainer = Trainer(
        model=model,
        args=training,
        train_dataset=datasets["train"],
        eval_dataset=datasets["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    metrics = {name: _evaluate(trainer, datasets[name], name) for name in ("validation", "test")}
    return FineTuned(trainer.accelerator.unwrap_model(trainer.model), tokenizer, metrics)


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


def _evaluate(trainer: Trainer, dataset: Dataset, part: str) -> dict[str, float]:
    figures = trainer.evaluate(dataset, metric_key_prefix=part)
    names = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
    plain = {name.removeprefix(f"{part}_"): value for name, value in figures.items() if name.startswith(f"{part}_")}
    return {name: float(value) for name, value in plain.items() if name not in names and np.isfinite(value)}
