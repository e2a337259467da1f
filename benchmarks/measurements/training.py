"""`python -m benchmarks training`: speed of training.

It trains one epoch on the same rows with the same encoder and batch size in three ways, each in its own process, in
interleaved rounds:

- `notebook`: transformers' Trainer with its defaults, as notebooks use it: fp32, every text padded to 512 tokens.
- `padded`: as `notebook`, but padded to the checkpoint's `max_length`, and in bf16 where Litmus uses it by default.
- `litmus`: `python -m training`.

    python -m benchmarks training --checkpoint build/checkpoint --output build/training.json
"""

import statistics
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from runtime.engine.cpus import available_cpus
from training.arguments import EncoderArguments, FineTuningArguments, parse_args
from training.data.dataset import LabelledData
from training.data.record import read_record, training_data
from training.model.encoder import load_model, load_tokenizer, resolve
from training.model.fine_tuning import ClassifierTrainer, tokenized
from training.model.loss import Objective
from training.positions import position_limit

from ..harness import isolated
from ..harness.machine import machine
from ..harness.runner import log_progress, shuffled

WAYS = ["notebook", "padded", "litmus"]
NOTEBOOK_LENGTH = 512
SEED = 0


def measure(checkpoint: str, *, rows: int, rounds: int) -> dict[str, Any]:
    """Measures the three ways.

    Args:
        checkpoint: Checkpoint folder; its record names the data, the encoder and the batch size.
        rows: How many rows of the training split to train on, drawn at random; all of them if there are fewer.
        rounds: How often each way trains, taking turns.

    Returns:
        The report, ready for JSON: rows per second of each way.

    Raises:
        DataError: The checkpoint's data set cannot be read.
        BenchmarkError: A process failed.
    """
    data, record = training_data(checkpoint), read_record(checkpoint)
    checkpoint_path = str(Path(checkpoint).resolve())  # the processes run in another folder
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in shuffled(WAYS, str(turn)):
            elapsed_s, _ = isolated.run_in_subprocess(epoch, checkpoint=checkpoint_path, way=way, rows=rows)
            seconds[way].append(elapsed_s)
            log_progress(f"round {turn + 1} of {rounds}: {way} {elapsed_s:.1f} s")
    count = min(rows, len(data.train.texts))
    speeds = {way: [count / taken for taken in times] for way, times in seconds.items()}
    base = statistics.median(speeds["notebook"])
    return {
        "kind": "training",
        "machine": machine(available_cpus()),
        "settings": {
            "checkpoint": checkpoint,
            "rows": count,
            "rounds": rounds,
            "max_length": record["max_length"],
            "notebook_length": NOTEBOOK_LENGTH,
        },
        "results": {
            way: {
                "rows_per_second": statistics.median(rates),
                "spread": [min(rates), max(rates)],
                "speedup": statistics.median(rates) / base,
            }
            for way, rates in speeds.items()
        },
    }


def epoch(checkpoint: str, way: str, rows: int) -> float:
    """Trains one step to warm up, then one epoch; returns the seconds of the epoch."""
    data, record = training_data(checkpoint), read_record(checkpoint)
    encoder = EncoderArguments(**record["encoder_arguments"] | {"teacher": None, "student_layers": None})
    batch = record["training_arguments"].get("per_device_train_batch_size", 8)
    sample = np.random.default_rng(SEED).permutation(len(data.train.texts))[:rows]
    with tempfile.TemporaryDirectory() as folder:
        line = ["--output_dir", folder, "--num_train_epochs", "1", "--per_device_train_batch_size", str(batch)]
        quiet = ["--disable_tqdm", "true", "--logging_strategy", "no", "--save_strategy", "no", "--eval_strategy", "no"]
        quiet += ["--remove_unused_columns", "false"]
        ours = parse_args([*line, *quiet, "--load_best_model_at_end", "false"]).training
        make = _litmus if way == "litmus" else partial(_padded, notebook=way == "notebook")
        for chosen in (sample[:batch], sample):
            tokenizer = load_tokenizer(encoder, record["data_arguments"]["cleaning"])
            trainer = make(data, chosen, encoder, tokenizer, ours)
            seconds: float = trainer.train().metrics["train_runtime"]
    return seconds


def _litmus(
    data: LabelledData,
    rows: np.ndarray,
    encoder: EncoderArguments,
    tokenizer: PreTrainedTokenizerFast,
    training: FineTuningArguments,
) -> Trainer:
    model = load_model(encoder, data.labels, data.task).model
    return ClassifierTrainer(
        objective=Objective(data.task),
        model=model,
        args=training,
        train_dataset=tokenized(data.train, "train", tokenizer, model)[0].select(rows),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )


def _padded(
    data: LabelledData,
    rows: np.ndarray,
    encoder: EncoderArguments,
    tokenizer: PreTrainedTokenizerFast,
    ours: FineTuningArguments,
    *,
    notebook: bool,
) -> Trainer:
    """Returns the Trainer of `notebook` or of `padded`."""
    model = AutoModelForSequenceClassification.from_pretrained(
        resolve(encoder.model_name_or_path),
        revision=encoder.revision,
        num_labels=len(data.labels),
        problem_type=f"{data.task}_classification",
        ignore_mismatched_sizes=True,
    )
    texts = [data.train.texts[row] for row in rows]
    length = min(NOTEBOOK_LENGTH, position_limit(model) or NOTEBOOK_LENGTH) if notebook else encoder.max_length
    columns = tokenizer(texts, truncation=True, padding="max_length", max_length=length)
    training = TrainingArguments(
        output_dir=ours.output_dir,
        num_train_epochs=1,
        per_device_train_batch_size=ours.per_device_train_batch_size,
        use_cpu=ours.use_cpu,
        bf16=ours.bf16 and not notebook,
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
    )
    labels = [data.train.targets[row] for row in rows]
    return Trainer(model=model, args=training, train_dataset=Dataset.from_dict({**columns, "labels": labels}))


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    info, settings = report["machine"], report["settings"]
    lines = [
        f"One epoch of training on {settings['rows']} rows; medians of {settings['rounds']} interleaved rounds; "
        f"`notebook` pads every text to {settings['notebook_length']} tokens, `padded` to {settings['max_length']}.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; torch {info['versions']['torch']}.",
        "",
        "| | rows per second | range | speedup over `notebook` |",
        "|---|---|---|---|",
    ]
    for way, result in report["results"].items():
        least, most = result["spread"]
        lines.append(
            f"| {way} | {result['rows_per_second']:.1f} | {least:.1f} to {most:.1f} | **{result['speedup']:.1f}x** |"
        )
    return "\n".join(lines) + "\n"
