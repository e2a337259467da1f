"""Tells on stderr how a job is doing: how far it has come, and what could not be done."""

import sys
import time
from collections.abc import Callable

EVERY_S, EVERY_LINE_S = 0.5, 30.0  # on a terminal, where the line is written over; elsewhere
ERRORS_SHOWN = 10
WIDTH = 60


class Progress:
    """Counts texts and failures; says how many a second, and how long the rest will take if that can be known."""

    def __init__(self, *, quiet: bool = False, shown: bool = True, share: Callable[[], float] | None = None) -> None:
        """Starts the clock.

        Args:
            quiet: Say nothing at all.
            shown: Say how far the job has come.
            share: Tells which share of the input has been read, from 0 to 1; None if nobody knows.
        """
        self.texts = 0
        self.failures = 0
        self._quiet = quiet
        self._shown = shown and not quiet
        self._share = share
        self._terminal = sys.stderr.isatty()
        self._start = self._said = time.monotonic()
        self._line_is_used = False

    def count(self) -> None:
        """One more text is done."""
        self.texts += 1
        now = time.monotonic()
        if self._shown and now - self._said >= (EVERY_S if self._terminal else EVERY_LINE_S):
            self._said, self._line_is_used = now, self._terminal
            print(f"{self._line(now - self._start):<{WIDTH}}", end=self._end, file=sys.stderr, flush=True)

    def fail(self, index: int, reason: str) -> None:
        """A text could not be classified; the first reasons are shown."""
        self.failures += 1
        if self.failures <= ERRORS_SHOWN:
            self._say(f"error: text {index}: {reason}")

    def end(self) -> None:
        """The job is done."""
        if self.failures > ERRORS_SHOWN:
            self._say(f"error: {self.failures:,} texts could not be classified; their rows say why")
        self._clear()

    @property
    def _end(self) -> str:
        return "\r" if self._terminal else "\n"

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._clear()
            print(line, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        """Leaves the terminal's line empty for what comes next."""
        if self._line_is_used:
            print(" " * WIDTH, end=self._end, file=sys.stderr, flush=True)
            self._line_is_used = False

    def _line(self, seconds: float) -> str:
        line = f"{self.texts:,} texts, {self.texts / seconds:,.1f} a second"
        share = 0.0 if self._share is None else self._share()
        if share <= 0:
            return line
        left_s = round(seconds / share * (1 - share))
        return f"{line}, {share:.0%}, {left_s // 60}:{left_s % 60:02} left"
