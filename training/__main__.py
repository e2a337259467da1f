"""`python -m training [RECIPE.json] [--train_file FILE ...] --output_dir CHECKPOINT`: fine-tune a text classifier."""

import logging
import sys
from collections.abc import Sequence

from .arguments import DataArguments, FineTuningArguments, parse_args
from .checkpoint import check_output_dir, save_checkpoint
from .data import load_data
from .errors import TrainingError
from .fine_tuning import fine_tune

logger = logging.getLogger("training")


def run(arguments: DataArguments, training: FineTuningArguments) -> None:
    """Reads the data, fine-tunes, and writes the checkpoint.

    Raises:
        TrainingError: One line on what is wrong and what to do.
    """
    data = load_data(arguments)
    check_output_dir(training)
    sizes = ", ".join(f"{len(part.texts)} {name}" for name, part in data.parts.items())
    logger.info("%s, %d labels, rows: %s", data.task, len(data.labels), sizes)
    tuned = fine_tune(data, arguments, training)
    folder = save_checkpoint(tuned, data, arguments, training)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in tuned.metrics["test"].items())
    logger.info("test part, seen by nothing else: %s", figures)
    logger.info("checkpoint: %s", folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        run(*parse_args(sys.argv[1:] if argv is None else argv))
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
