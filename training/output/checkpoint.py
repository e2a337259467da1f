"""Writes the checkpoint folder: a plain Hugging Face model and tokenizer, and `training.json` on how it came about."""

import json
import platform
import shutil
from dataclasses import asdict, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from ..arguments import Arguments, DataArguments, FineTuningArguments
from ..data.dataset import LabelledData, Split
from ..data.record import PATHS, RECORD, SCHEMA_MAJOR, without_paths
from ..decisions.learning import Decisions
from ..errors import TrainingError
from ..evaluation.comparison import Comparison
from ..evaluation.figures import Evaluation
from ..model.encoder import base_model, fingerprint
from ..model.fine_tuning import FineTuned
from ..model.folding import fold_temperature
from ..output_dir import RUN
from ..seeds import SEEDS

TOOLS = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn", "numpy")
CHECKED = 16  # texts
# What does not change the model that comes out, so that a resumed training may have it otherwise.
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
    """Writes model and tokenizer, the temperature folded into the model's weights where its head allows that.

    Args:
        folder: Where to.
        tuned: Its model is changed; its logits are not.
        validation: The validation part, on a few texts of which the result is checked.
        decisions: As learned from the logits.

    Returns:
        How to decide by the logits of the model that is written.

    Raises:
        TrainingError: They cannot be written.
    """
    texts, logits = validation.texts[:CHECKED], tuned.logits["validation"][:CHECKED]
    folded = fold_temperature(tuned.model, tuned.tokenizer, texts, logits, decisions.temperature)
    try:
        tuned.model.save_pretrained(folder)
        tuned.tokenizer.backend_tokenizer.no_padding()
        tuned.tokenizer.backend_tokenizer.no_truncation()
        tuned.tokenizer.save_pretrained(folder)
        name_tokenizer_class(folder / "tokenizer_config.json")
    except Exception as error:  # of a full disk, safetensors makes an error of its own and tokenizers a bare one
        reason = " ".join(str(error).split())
        raise TrainingError(f"cannot write the checkpoint to {folder}: {reason}; make room and go on") from error
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
    """Writes the record, at once and last of all: a folder that has it is complete.

    `decisions` are those of the model that was written, `temperature` is the one that was learned.
    """
    record = {
        "schema_version": f"{SCHEMA_MAJOR}.0",
        "task": data.task,
        "labels": data.labels,
        "max_length": arguments.encoder.max_length,
        "base_model": base_model(arguments.encoder),
        "data": {
            "sha256": data.sha256,
            "files": data.files,
            "rows": sum(len(part.texts) for part in data.splits.values()),
            "split_seed": arguments.data.split_seed,
            "parts": {name: len(part.texts) for name, part in data.splits.items()},
            "removed": data.removed,
            "cut": tuned.truncated,
        },
        "decisions": asdict(decisions),
        "folded_temperature": temperature / decisions.temperature,
        "metrics": evaluation.metrics,
        "teacher_metrics": evaluation.teacher,
        **comparison.to_record(),
        "train_seconds": round(tuned.train_seconds, 1),
        "data_arguments": data_arguments(arguments.data),
        "encoder_arguments": asdict(arguments.encoder),
        "method_arguments": asdict(arguments.method),
        "training_arguments": _changed(arguments.training),
        "versions": {"python": platform.python_version()} | {tool: metadata.version(tool) for tool in TOOLS},
    }
    unfinished = folder / f".{RECORD}"
    unfinished.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    unfinished.rename(folder / RECORD)


def remove_trainer_checkpoints(folder: Path) -> None:
    """Removes what only a resumed training needs: the Trainer's states, which are pickles, and the claim."""
    for state in folder.glob("checkpoint-*"):
        shutil.rmtree(state)
    shutil.rmtree(folder / SEEDS, ignore_errors=True)
    (folder / RUN).unlink()


def run_settings(data: LabelledData, arguments: Arguments) -> dict[str, Any]:
    """Returns what decides the outcome of a training, ready for JSON: a resumed one must have the same."""
    changed = {name: value for name, value in _changed(arguments.training).items() if name not in INCIDENTAL}
    method = {name: value for name, value in asdict(arguments.method).items() if name not in {"baselines", "show_text"}}
    parts = {"data_sha256": data.sha256, **without_paths(asdict(arguments.data))}
    start = {"encoder_sha256": fingerprint(arguments.encoder), "processes": arguments.training.world_size}
    return {**parts, **asdict(arguments.encoder), **method, **changed, **start}


def name_tokenizer_class(path: Path) -> None:
    """Names the class so that transformers 4 finds it, too: 5 writes `TokenizersBackend` and reads both."""
    config = json.loads(path.read_text("utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def data_arguments(arguments: DataArguments) -> dict[str, Any]:
    """Returns the arguments as they find the data from any folder."""
    paths = {name: str(Path(path).resolve()) for name in PATHS if (path := getattr(arguments, name)) is not None}
    return {**asdict(arguments), **paths}


def _changed(training: FineTuningArguments) -> dict[str, Any]:
    """Returns the arguments that differ from transformers' own defaults."""
    defaults = {field.name: field.default for field in fields(TrainingArguments)}
    values = training.to_dict()  # type: ignore[no-untyped-call]  # transformers does not annotate it
    return {
        name: value
        for name, value in values.items()
        if name in defaults and value != defaults[name] and isinstance(value, str | int | float | bool | dict | list)
    }
