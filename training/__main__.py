"""`python -m training [RECIPE.json] [--train_file FILE ...] --output_dir CHECKPOINT`: fine-tune a text classifier."""

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import transformers

from .arguments import Arguments, check_task, parse_args
from .data.dataset import LabelledData, load_data
from .data.record import RECORD
from .decisions.learning import Decisions, decide, learn
from .errors import TrainingError
from .evaluation.baselines import judge_baselines
from .evaluation.comparison import Metrics, compare
from .evaluation.figures import Evaluation, cut_warnings, data_warnings, evaluate
from .model.fine_tuning import FineTuned, fine_tune
from .output.checkpoint import remove_trainer_checkpoints, run_settings, save_model, save_record
from .output.model_card import write_model_card
from .output.report import verdict, write_report
from .output_dir import lock_output_dir
from .phases import duration, phase
from .seeds import train_other_seeds

logger = logging.getLogger("training")


def run(arguments: Arguments) -> None:
    """Reads the data, fine-tunes, learns to decide, judges, and writes checkpoint and reports.

    Of several processes (torchrun, accelerate) all train, and the first alone judges and writes.

    Raises:
        TrainingError: One line on what is wrong and what to do.
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
            logger.info("all was done but for removing the states")
        else:
            sizes = ", ".join(f"{len(part.texts)} {name}" for name, part in data.parts.items())
            logger.info("%s, %d labels, rows: %s", data.task, len(data.labels), sizes)
            for warning in data_warnings(data):
                logger.warning("%s", warning)
            other_seeds = train_other_seeds(data, arguments)
            tuned = fine_tune(data, arguments)
            assert tuned is not None, "the first process judges"
            _judge_and_save(folder, data, tuned, other_seeds, arguments)
        remove_trainer_checkpoints(folder)
    logger.info("total: %s", duration(time.monotonic() - started))
    logger.info("checkpoint: %s", folder)
    logger.info("report:     %s", folder / "report.html")


def _judge_and_save(
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
    for warning in cut_warnings(data, tuned):
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
        facts = _facts(tuned, evaluation, decisions, arguments)
        write_report(folder, data, tuned, decisions, evaluation, comparison, facts, arguments)
        write_model_card(folder, data, saved, evaluation, arguments)
    save_record(folder, tuned, data, saved, decisions.temperature, evaluation, comparison, arguments)
    logger.info("%s", verdict(evaluation, comparison, data))


def _facts(tuned: FineTuned, evaluation: Evaluation, decisions: Decisions, arguments: Arguments) -> dict[str, str]:
    """Says in words what was used."""
    test, training = evaluation.metrics["test"], arguments.training
    abstain = {}
    if (precision := arguments.method.target_precision) is not None:
        level = decisions.abstain_below
        reached = "not reached on the validation part" if level is None else f"scores from {level:.3f} on"
        abstain[f"labels that are right {100 * precision:g} % of the time"] = reached
    model = tuned.model
    return {
        "encoder": arguments.encoder.origin,
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} million",
        "layers": str(getattr(model.config, "num_hidden_layers", "unknown")),
        "epochs, learning rate, rows per step": (
            f"{tuned.epochs:g}, {training.learning_rate:g}, "
            f"{training.train_batch_size * training.gradient_accumulation_steps * training.world_size}"
        ),
        "seed": str(training.seed),
        "training": f"{tuned.train_seconds / 60:.1f} minutes, {os.cpu_count()} CPUs, {training.device}",
        "temperature": f"{decisions.temperature:.3f}: calibration error {test['ece_uncalibrated']:.4f} before, "
        f"{test['ece']:.4f} after",
        **abstain,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False  # it prints for itself
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        arguments = parse_args(sys.argv[1:] if argv is None else argv)
        if arguments.training.process_index:  # all would log the same
            logging.getLogger("training").setLevel(logging.WARNING)
        run(arguments)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
