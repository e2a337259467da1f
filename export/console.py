"""Progress of an export on standard error: a bar for each phase on a terminal, plain lines elsewhere."""

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm
from transformers.utils import logging as transformers_logging

NOISY_LOGGERS = ("torch.onnx._internal.exporter._registration", "onnxscript.optimizer._constant_folding", "onnx_ir")
COUNTED = "{desc:<14}{percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt}, {elapsed}, {remaining} left"
FINISHED = "{desc:<14}{percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt}, {elapsed}"
UNCOUNTED = "{desc:<14}{elapsed}"  # the work cannot be divided, so the time left is unknown
ROWS = 24  # tqdm hides its bars on a terminal that reports no rows
REFRESH_S = 0.5
Item = TypeVar("Item")


class Phase:
    """A part of an export whose progress is shown."""

    def __init__(self, bar: tqdm | None) -> None:
        """Takes the bar to move, or None without a terminal."""
        self._bar = bar

    def advance(self) -> None:
        """Counts a finished step."""
        if self._bar is not None:
            self._bar.update()

    def track(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields items, and counts each as a step when the next one is taken."""
        for item in items:
            yield item
            self.advance()

    def expect(self, steps: int) -> None:
        """Adds steps to those that are still to come."""
        if self._bar is not None:
            self._bar.total += steps


def log_progress(line: str) -> None:
    """Writes a line, above the bar if there is one."""
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def phase(name: str, *, steps: int | None = None, line: str | None = None) -> Iterator[Phase]:
    """Shows a phase while it runs.

    Args:
        name: Short name for the bar.
        steps: How many times the phase will advance. None: only the elapsed time is shown.
        line: What to write instead of a bar where there is no terminal. None: nothing.
    """
    if not sys.stderr.isatty():
        if line is not None:
            log_progress(line)
        yield Phase(None)
        return
    bar_format = UNCOUNTED if steps is None else COUNTED
    with tqdm(total=steps, desc=name, bar_format=bar_format, nrows=ROWS, file=sys.stderr) as bar, _refreshing(bar):
        yield Phase(bar)
        if steps is not None:
            bar.total, bar.bar_format = bar.n, FINISHED  # a search may need fewer steps than expected


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences warnings, logs and bars of torch, transformers and onnx_ir; their exceptions still come through."""
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    verbosity, has_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _refreshing(bar: tqdm) -> Iterator[None]:
    """Redraws a bar at regular intervals, so that its times move on during a long step."""
    stopped = threading.Event()

    def refresh() -> None:
        while not stopped.wait(REFRESH_S):
            bar.refresh()

    thread = threading.Thread(target=refresh, name="progress bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
