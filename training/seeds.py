"""`--seeds N`: the same training with N seeds, for the spread of its figures; the first seed's model is kept.

The first, not the best: a model picked on the test split would be flattered by it. The others train before it, each in
a folder of its own under `seeds/`, and leave nothing but their metrics; so everything after them is as with one seed,
and a resumed run trains only what is missing.
"""

import contextlib
import copy
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from accelerate import PartialState

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

    Of several processes all have to call it: which seeds are done is looked up before any of them trains.

    Args:
        data: The data set, split.
        arguments: The command line.

    Returns:
        By seed the metrics of every split; in all processes but the first those that were there before.

    Raises:
        TrainingError: As for `fine_tune`.
    """
    folder, first = Path(arguments.training.output_dir) / SEEDS, arguments.training.seed
    paths = {seed: folder / f"{seed}.json" for seed in range(first + 1, first + arguments.method.seeds)}
    found: dict[int, Metrics] = {
        seed: json.loads(path.read_text("utf-8")) for seed, path in paths.items() if path.is_file()
    }
    for seed, path in paths.items():
        if seed in found:
            logger.info("seed %d: trained before", seed)
            continue
        with phase(f"seed {seed}"), _unused_removed(folder / str(seed), folder):
            metrics = _train(data, _with_seed(arguments, seed, folder))
        if metrics is not None:
            folder.mkdir(exist_ok=True)
            unfinished = path.with_suffix(".part")
            unfinished.write_text(json.dumps(metrics), "utf-8")
            unfinished.rename(path)
            shutil.rmtree(folder / str(seed), ignore_errors=True)
            found[seed] = metrics
    return found


def _with_seed(arguments: Arguments, seed: int, folder: Path) -> Arguments:
    """Returns the arguments of another seed's training; trackers such as TensorBoard log the first seed's alone."""
    training = copy.copy(arguments.training)
    training.seed, training.output_dir, training.report_to = seed, str(folder / str(seed)), []
    return arguments._replace(training=training)


@contextlib.contextmanager
def _unused_removed(*folders: Path) -> Iterator[None]:
    """Removes the folders if an error left them empty, so that the corrected command finds its folder as it was."""
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            for folder in folders:
                folder.rmdir()
        raise


def _train(data: LabelledData, arguments: Arguments) -> dict[str, dict[str, float]] | None:
    """Returns the metrics of a training; None in all processes but the first."""
    tuned = fine_tune(data, arguments)
    PartialState().wait_for_everyone()  # others may still be reading the best state, which is removed next
    if tuned is None:
        return None
    decisions = learn(
        tuned.logits["validation"],
        data.validation.targets,
        data.task,
        target_precision=arguments.method.target_precision,
    )
    return split_metrics(data, tuned, decisions)
