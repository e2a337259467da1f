"""Writes the checkpoint folder: a plain Hugging Face model and tokenizer, and the record `training.json`."""

import json
import platform
import shutil
from dataclasses import asdict, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainingArguments

from runtime.files.atomic_file import atomic_write

from ..arguments import Arguments, FineTuningArguments
from ..arrays import Integers
from ..data.dataset import LabelledData, Split
from ..data.record import RECORD, SCHEMA_MAJOR, with_relative_paths, without_paths
from ..decisions.learning import Decisions
from ..decisions.metrics import label_flags
from ..errors import TrainingError
from ..evaluation.comparison import Comparison
from ..evaluation.figures import Evaluation
from ..model.encoder import base_model, fingerprint
from ..model.fine_tuning import FineTuned
from ..model.folding import fold_temperature
from ..output_dir import RUN
from ..seeds import SEEDS

TOOLS = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn", "numpy")
GROUPS = 10  # of texts by length, which an evaluation compares with its own
CHECKED = 16  # texts on which the folded temperature is checked
# Arguments that do not affect the model, so a resumed training may have other values.
INCIDENTAL = {
    "output_dir",
    "resume_from_checkpoint",
    "disable_tqdm",
    "report_to",
    "run_name",
    "logging_steps",
    "logging_first_step",
    "log_level",
    "save_total_limit",
    "dataloader_num_workers",
    "local_rank",
}


def save_model(folder: Path, tuned: FineTuned, validation: Split, decisions: Decisions) -> Decisions:
    """Writes model and tokenizer, with the temperature folded into the weights if the head allows that.

    Args:
        folder: The checkpoint folder.
        tuned: The fine-tuned model, which is changed; its logits are not.
        validation: The validation split; the result is checked on a few of its texts.
        decisions: The decision parameters learned from the logits.

    Returns:
        The decision parameters for the model as written.

    Raises:
        TrainingError: The files cannot be written.
    """
    texts, logits = validation.texts[:CHECKED], tuned.logits["validation"][:CHECKED]
    folded = fold_temperature(tuned.model, tuned.tokenizer, texts, logits, decisions.temperature)
    try:
        tuned.model.save_pretrained(folder)
        tuned.tokenizer.backend_tokenizer.no_padding()
        tuned.tokenizer.backend_tokenizer.no_truncation()
        tuned.tokenizer.save_pretrained(folder)
        name_tokenizer_class(folder / "tokenizer_config.json")
    except Exception as error:  # if the disk is full, safetensors and tokenizers raise errors of their own
        reason = " ".join(str(error).split())
        raise TrainingError(f"cannot write the checkpoint to {folder}: {reason}; make room and resume") from error
    return replace(decisions, temperature=1.0) if folded else decisions


def save_record(
    folder: Path,
    tuned: FineTuned,
    data: LabelledData,
    decisions: Decisions,
    temperature: float,
    evaluation: Evaluation,
    comparison: Comparison,
    arguments: Arguments,
) -> None:
    """Writes the record, atomically and after all other files: a folder with a record is complete.

    Args:
        folder: The checkpoint folder.
        tuned: The fine-tuned model.
        data: The data set with its splits.
        decisions: The decision parameters for the model as written.
        temperature: The learned temperature, folded into the weights or not.
        evaluation: The figures of the report.
        comparison: The comparison with baselines and other seeds.
        arguments: The command line.
    """
    recorded = with_relative_paths(arguments)
    record = {
        "schema_version": f"{SCHEMA_MAJOR}.0",
        "task": data.task,
        "labels": data.labels,
        "max_length": arguments.encoder.max_length,
        "base_model": base_model(arguments.encoder),
        "data": {
            "sha256": data.sha256,
            "files": data.files,
            "rows": sum(len(split.texts) for split in data.splits.values()),
            "split_seed": arguments.data.split_seed,
            "parts": {name: len(split.texts) for name, split in data.splits.items()},
            "removed": data.removed,
            "label_rows": _label_rows(data),
            "length_rows": length_rows(tuned.lengths, arguments.encoder.max_length),
            "cut": tuned.truncated,
        },
        "decisions": asdict(decisions),
        "folded_temperature": temperature / decisions.temperature,
        "metrics": evaluation.metrics,
        "gap": None if evaluation.gap is None else asdict(evaluation.gap),
        "teacher_metrics": evaluation.teacher,
        **comparison.to_record(),
        "train_seconds": round(tuned.train_seconds, 1),
        "data_arguments": asdict(recorded.data),
        "encoder_arguments": asdict(recorded.encoder),
        "method_arguments": asdict(recorded.method),
        "training_arguments": _changed(recorded.training),
        "versions": {"python": platform.python_version()} | {tool: metadata.version(tool) for tool in TOOLS},
    }
    with atomic_write(folder / RECORD, overwrite=True) as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def length_rows(lengths: Integers, max_length: int) -> dict[int, int]:
    """Counts texts in about ten groups of similar size, by their length in tokens.

    Args:
        lengths: (rows,) int64.
        max_length: Upper bound of the last group.

    Returns:
        Texts by the upper bound of their group, in ascending order.
    """
    inner = np.unique(np.quantile(lengths, np.arange(1, GROUPS) / GROUPS, method="inverted_cdf").astype(np.int64))
    bounds = [*(int(bound) for bound in inner if bound < max_length), max_length]
    counts = np.bincount(np.searchsorted(bounds[:-1], lengths), minlength=len(bounds))
    return {bound: int(count) for bound, count in zip(bounds, counts, strict=True)}


def _label_rows(data: LabelledData) -> dict[str, int]:
    """Returns how many rows of the training split have each label."""
    counts = label_flags(data.train.targets, data.task, len(data.labels)).sum(axis=0)
    return {label: int(count) for label, count in zip(data.labels, counts, strict=True)}


def remove_trainer_checkpoints(folder: Path) -> None:
    """Removes what only a resumed training needs: the Trainer's checkpoints, which are pickles, and `run.json`."""
    for state in folder.glob("checkpoint-*"):
        shutil.rmtree(state)
    shutil.rmtree(folder / SEEDS, ignore_errors=True)
    (folder / RUN).unlink()


def run_settings(data: LabelledData, arguments: Arguments) -> dict[str, Any]:
    """Returns all settings that affect the result, ready for JSON; a resumed training must have the same."""
    changed = {name: value for name, value in _changed(arguments.training).items() if name not in INCIDENTAL}
    method = {name: value for name, value in asdict(arguments.method).items() if name not in {"baselines", "show_text"}}
    read = {"data_sha256": data.sha256, **without_paths(asdict(arguments.data))}
    start = {"encoder_sha256": fingerprint(arguments.encoder), "processes": arguments.training.world_size}
    return {**read, **asdict(with_relative_paths(arguments).encoder), **method, **changed, **start}


def name_tokenizer_class(path: Path) -> None:
    """Writes the tokenizer class under the name that transformers 4 knows; 5 writes `TokenizersBackend`, reads both."""
    config = json.loads(path.read_text("utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _changed(training: FineTuningArguments) -> dict[str, Any]:
    """Returns the arguments that differ from transformers' own defaults, but the output folder."""
    defaults = {field.name: field.default for field in fields(TrainingArguments)}
    values = training.to_dict()  # type: ignore[no-untyped-call]  # transformers does not annotate it
    return {
        name: value
        for name, value in values.items()
        if name in defaults
        and name != "output_dir"
        and value != defaults[name]
        and isinstance(value, str | int | float | bool | dict | list)
    }
