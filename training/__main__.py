"""`python -m training [RECIPE.json] [--train_file FILE ...] --output_dir CHECKPOINT`: fine-tune a text classifier."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from transformers.utils import logging as hf_logging

from runtime.errors import LitmusError
from runtime.interrupts import interrupts_everywhere

from .arguments import Arguments, check_task, parse_args
from .data.dataset import LabelledData, load_data
from .data.record import RECORD, with_relative_paths
from .decisions.learning import Decisions, decide, learn
from .errors import TrainingError
from .evaluation.baselines import judge_baselines
from .evaluation.comparison import Metrics, compare
from .evaluation.figures import Evaluation, data_warnings, evaluate, truncation_warnings
from .model.fine_tuning import FineTuned, fine_tune
from .output.checkpoint import remove_trainer_checkpoints, run_settings, save_model, save_record
from .output.model_card import write_model_card
from .output.report import verdict, write_report
from .output_dir import lock_output_dir
from .phases import CLEAR, duration, phase
from .seeds import train_other_seeds

logger = logging.getLogger("training")


def run(arguments: Arguments) -> None:
    """Reads the data, fine-tunes, learns the decision parameters, evaluates, and writes checkpoint and report.

    With several processes (torchrun, accelerate) all of them train; only the first one evaluates and writes.

    Raises:
        TrainingError: The data, an argument, the encoder or the output folder cannot be used, or the training failed.
    """
    started = time.monotonic()
    with phase("reading the data"):
        data = load_data(arguments.data)
    check_task(arguments, data.task)
    if arguments.training.process_index:
        if not (Path(arguments.training.output_dir) / RECORD).is_file():
            train_other_seeds(data, arguments)
            fine_tune(data, arguments)
        return
    with lock_output_dir(arguments.training, run_settings(data, arguments)) as folder:
        if (folder / RECORD).is_file():
            logger.info("training was already complete; removing leftover trainer checkpoints")
        else:
            sizes = ", ".join(f"{len(split.texts)} {name}" for name, split in data.splits.items())
            logger.info("%s, %d labels, rows: %s", data.task, len(data.labels), sizes)
            for warning in data_warnings(data):
                logger.warning("%s", warning)
            other_seeds = train_other_seeds(data, arguments)
            tuned = fine_tune(data, arguments)
            assert tuned is not None, "the first process evaluates"
            _evaluate_and_save(folder, data, tuned, other_seeds, arguments)
        remove_trainer_checkpoints(folder)
    logger.info("total: %s", duration(time.monotonic() - started))
    logger.info("checkpoint: %s", folder)
    logger.info("report:     %s", folder / "report.html")


def _evaluate_and_save(
    folder: Path, data: LabelledData, tuned: FineTuned, other_seeds: Mapping[int, Metrics], arguments: Arguments
) -> None:
    decisions = learn(
        tuned.logits["validation"],
        data.validation.targets,
        data.task,
        target_precision=arguments.method.target_precision,
    )
    saved = save_model(folder, tuned, data.validation, decisions)
    evaluation = evaluate(data, tuned, decisions, show_text=arguments.method.show_text)
    for warning in truncation_warnings(data, tuned):
        logger.warning("%s", warning)
    baselines = {}
    if arguments.method.baselines:
        normalizer = tuned.tokenizer.backend_tokenizer.normalizer
        clean = str if normalizer is None else normalizer.normalize_str
        with phase("baselines"):
            baselines = judge_baselines(data, clean, balanced=arguments.method.class_weights == "balanced")
    with phase("report"):
        seeds = {arguments.training.seed: evaluation.metrics, **other_seeds}
        comparison = compare(decide(tuned.logits["test"], data.task, decisions), baselines, seeds, data)
        shown = with_relative_paths(arguments)
        facts = _facts(tuned, evaluation, decisions, shown)
        write_report(folder, data, tuned, decisions, evaluation, comparison, facts, shown)
        write_model_card(folder, data, saved, evaluation, arguments)
    save_record(folder, tuned, data, saved, decisions.temperature, evaluation, comparison, arguments)
    logger.info("%s", verdict(evaluation, comparison, data))


def _facts(tuned: FineTuned, evaluation: Evaluation, decisions: Decisions, arguments: Arguments) -> dict[str, str]:
    """Returns the rows of the report's table on the training setup."""
    test, training = evaluation.metrics["test"], arguments.training
    abstain = {}
    if (precision := arguments.method.target_precision) is not None:
        level = decisions.abstain_below
        reached = "not reached on the validation split" if level is None else f"abstains below a score of {level:.3f}"
        abstain[f"target precision {100 * precision:g} %"] = reached
    model = tuned.model
    return {
        "encoder": arguments.encoder.origin,
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} million",
        "layers": str(getattr(model.config, "num_hidden_layers", "unknown")),
        "epochs, learning rate, batch size": (
            f"{tuned.epochs:g}, {training.learning_rate:g}, "
            f"{training.train_batch_size * training.gradient_accumulation_steps * training.world_size}"
        ),
        "seed": str(training.seed),
        "training": f"{tuned.train_seconds / 60:.1f} minutes on {training.device}, {os.cpu_count()} CPUs",
        "temperature": f"{decisions.temperature:.3f}: calibration error (ECE) {test['ece_uncalibrated']:.4f} before, "
        f"{test['ece']:.4f} after",
        **abstain,
    }


def _set_up_logging() -> None:
    """Sends our lines to stderr, without the warnings, tables and progress bars of the libraries."""
    on_terminal = sys.stderr.isatty()
    line = f"{CLEAR if on_terminal else ''}%(message)s"  # erases a progress bar
    logging.basicConfig(level=logging.ERROR, format=line, stream=sys.stderr)
    logger.setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own
    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers does not annotate it
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # nor this


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 130 if interrupted (argparse: 2)."""
    _set_up_logging()
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")  # transformers would ask the hub to convert an encoder
    try:
        arguments = parse_args(sys.argv[1:] if argv is None else argv)
        if arguments.training.process_index:  # all processes would log the same lines
            logging.getLogger("training").setLevel(logging.WARNING)
        with interrupts_everywhere():
            run(arguments)
    except (TrainingError, LitmusError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _exit(status: int) -> NoReturn:
    """Ends this process; one that only trained along skips the interpreter's shutdown.

    A thread of Gloo may still hold the last gathered tensors, and aborts a process that shuts down before it has
    released them; torch 2.13 has no call that waits for it. The first process has long been past that point.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_rank():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    if not sys.warnoptions:  # python -W default shows them
        warnings.simplefilter("ignore")
    _exit(main())
