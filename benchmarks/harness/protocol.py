"""What a contender is asked to load, and what it returns. Needs only the standard library, as every peer imports it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Scorer = Callable[[list[str]], list[list[float]]]


class UnavailableError(Exception):
    """This machine lacks something that the contender needs; the message says what."""


@dataclass(frozen=True)
class LoadRequest:
    """What to prepare or to load.

    Attributes:
        model: Artifact folder.
        checkpoint: Checkpoint folder.
        threads: Threads that every contender may use.
        option: Flavour of the contender, for example a precision.
        calibration: Texts of the training split, for contenders that calibrate a quantization.
        work_dir: Folder for the contender's own files: empty for `prepare`, which fills it for `load`.
    """

    model: str
    checkpoint: str
    threads: int
    option: str
    calibration: list[str]
    work_dir: str


def scores_from(logits: list[list[float]], *, multi_label: bool) -> list[list[float]]:
    """Turns rows of logits into scores: sigmoid for multi-label, otherwise softmax."""
    if multi_label:
        return [[(1 + math.tanh(logit / 2)) / 2 for logit in row] for row in logits]
    powers = [[math.exp(logit - max(row)) for logit in row] for row in logits]
    return [[power / sum(row) for power in row] for row in powers]
