"""`python -m benchmarks training --checkpoint CHECKPOINT [--rows 128] [--rounds 3]`: how fast training itself is.

The same rows, encoder and batch size, one epoch, each way in a process of its own, rounds interleaved:

- `notebook`: what the notebooks did, transformers' Trainer with its defaults: fp32, every text padded to 512 tokens.
- `padded`: the same with bf16 where it is on by default, and padded to the checkpoint's `max_length`.
- `litmus`: what `python -m training` does.

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
from ..harness.runner import log_progress, rotated

WAYS = ["notebook", "padded", "litmus"]
NOTEBOOK_LENGTH = 512
SEED = 0


def measure(checkpoint: str, *, rows: int, rounds: int) -> dict[str, Any]:
    """Measures all ways.

    Args:
        checkpoint: Says which data, encoder and batch size.
        rows: Of the training part, drawn at random, or all there are.
        rounds: How often each trains, taking turns.

    Returns:
        The report, ready for JSON: rows per second of each.

    Raises:
        DataError: The checkpoint's data set cannot be read again.
        BenchmarkError: A process failed.
    """
    data, record = training_data(checkpoint), read_record(checkpoint)
    where = str(Path(checkpoint).resolve())
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in rotated(WAYS, turn):
            answer, _ = isolated.run_in_subprocess(epoch, checkpoint=where, way=way, rows=rows)
            seconds[way].append(answer)
            log_progress(f"round {turn + 1} of {rounds}: {way} {answer:.1f} s")
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
                "rows_per_second": statistics.median(found),
                "spread": [min(found), max(found)],
                "times_faster": statistics.median(found) / base,
            }
            for way, found in speeds.items()
        },
    }


def epoch(checkpoint: str, way: str, rows: int) -> float:
    """Trains one epoch after a step to warm up; returns its seconds."""
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
    """Trains as the notebooks did, or else their way with shorter texts and bf16."""
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
        f"Training, one epoch of {settings['rows']} rows, median of {settings['rounds']} interleaved rounds; "
        f"`notebook` pads to {settings['notebook_length']} tokens, `padded` to {settings['max_length']}.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; torch {info['versions']['torch']}.",
        "",
        "| | rows per second | least to most | times the notebook |",
        "|---|---|---|---|",
    ]
    for way, result in report["results"].items():
        least, most = result["spread"]
        lines.append(
            f"| {way} | {result['rows_per_second']:.1f} | {least:.1f} to {most:.1f} | {result['times_faster']:.1f} |"
        )
    return "\n".join(lines) + "\n"
