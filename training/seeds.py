"""`--seeds N`: trains with N seeds to measure the spread of the metrics; the model of the first seed is kept.

Keeping the best one instead would select it on the test split, and its figures would be too good. The other seeds train
before the first, each in its own folder under `seeds/`, and only their metrics are kept. The rest of the run is the
same as with one seed, and a resumed run trains only the seeds that are missing.
"""

import contextlib
import copy
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from accelerate import PartialState

from runtime.files.atomic_file import atomic_write

from .arguments import Arguments
from .data.dataset import LabelledData
from .decisions.learning import learn
from .evaluation.comparison import Metrics
from .evaluation.figures import split_metrics
from .model.fine_tuning import fine_tune
from .phases import phase

SEEDS = "seeds"

logger = logging.getLogger(__name__)


def train_other_seeds(data: LabelledData, arguments: Arguments) -> dict[int, Metrics]:
    """Trains with every seed but the first.

    With several processes all of them must call this: each looks up which seeds are done before any of them trains.

    Args:
        data: The data set, split.
        arguments: The command line.

    Returns:
        The metrics of every split by seed; in all processes but the first, those of seeds that were done before.

    Raises:
        TrainingError: A training fails, as described for `fine_tune`.
    """
    folder, first = Path(arguments.training.output_dir) / SEEDS, arguments.training.seed
    paths = {seed: folder / f"{seed}.json" for seed in range(first + 1, first + arguments.method.seeds)}
    found: dict[int, Metrics] = {
        seed: json.loads(path.read_text("utf-8")) for seed, path in paths.items() if path.is_file()
    }
    for seed, path in paths.items():
        if seed in found:
            logger.info("seed %d: already trained", seed)
            continue
        with phase(f"seed {seed}"), _unused_removed(folder / str(seed), folder):
            metrics = _train(data, _with_seed(arguments, seed, folder))
        if metrics is not None:
            folder.mkdir(exist_ok=True)
            with atomic_write(path, overwrite=True) as file:
                json.dump(metrics, file)
            shutil.rmtree(folder / str(seed), ignore_errors=True)
            found[seed] = metrics
    return found


def _with_seed(arguments: Arguments, seed: int, folder: Path) -> Arguments:
    """Returns the arguments for another seed; trackers such as TensorBoard log only the first seed."""
    training = copy.copy(arguments.training)
    training.seed, training.output_dir, training.report_to = seed, str(folder / str(seed)), []
    return arguments._replace(training=training)


@contextlib.contextmanager
def _unused_removed(*folders: Path) -> Iterator[None]:
    """Removes the folders if an error left them empty, so that the corrected command can use the output folder."""
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            for folder in folders:
                folder.rmdir()
        raise


def _train(data: LabelledData, arguments: Arguments) -> dict[str, dict[str, float]] | None:
    """Trains with one seed; returns the metrics, or None in all processes but the first."""
    tuned = fine_tune(data, arguments)
    PartialState().wait_for_everyone()  # others may still read the best checkpoint, which is removed next
    if tuned is None:
        return None
    decisions = learn(
        tuned.logits["validation"],
        data.validation.targets,
        data.task,
        target_precision=arguments.method.target_precision,
    )
    return split_metrics(data, tuned, decisions)
