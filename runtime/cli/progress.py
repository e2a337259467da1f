"""Tells on stderr how a job is doing: how far it has come, and what could not be done."""

import os
import sys
import time
from typing import Self

EVERY_S, EVERY_LINE_S = 0.5, 30.0  # on a terminal, where the line is written over; elsewhere
ERRORS_SHOWN = 10
CLEAR = "\033[K"  # the rest of the terminal's line


class Progress:
    """Counts texts and failures; says how many a second, and how long the rest will take if that can be known."""

    def __init__(self, *, quiet: bool = False, shown: bool = True) -> None:
        """Starts the clock.

        Args:
            quiet: Say nothing at all.
            shown: Say how far the job has come.
        """
        self.texts = 0
        self.failures = 0
        self._quiet = quiet
        self._shown = shown
        self._terminal = sys.stderr.isatty()
        self._start = self._said = time.monotonic()
        self._line_is_used = False
        self._latest = (0, 0.0, self._start)  # texts, share and time of the last one: they come in bursts

    def count(self, share: float | None = None) -> None:
        """One more text is done.

        Args:
            share: Which share of the input it brings the job to, from 0 to 1; None if nobody knows.
        """
        self.texts += 1
        now = time.monotonic()
        if self._shown and now - self._said >= (EVERY_S if self._terminal else EVERY_LINE_S) and self.texts > 1:
            self._said = now
            line = self._line(now)
            if not self._terminal:
                self._print(line + "\n")
            elif not self._quiet:
                self._clear()
                self._print(line + "\r")
                self._line_is_used = True
        self._latest = (self.texts, share or 0.0, now)

    def fail(self, index: int, reason: str) -> None:
        """A text could not be classified; the first reasons are shown."""
        self.failures += 1
        if self.failures <= ERRORS_SHOWN:
            self._clear()
            self._print(f"error: text {index}: {reason}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The job is done, or broke off."""
        self._clear()
        if self.failures > ERRORS_SHOWN:
            self._print(f"error: {self.failures:,} texts could not be classified; their rows say why\n")

    def _print(self, content: str) -> None:
        if self._quiet:
            return
        try:
            sys.stderr.write(content)
            sys.stderr.flush()
        except OSError:  # nobody listens; the rows are what counts
            self._quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def _clear(self) -> None:
        """Leaves the terminal's line empty for what comes next."""
        if self._line_is_used:
            self._line_is_used = False
            self._print(CLEAR)

    def _line(self, now: float) -> str:
        """Says how far the job had come with the text before this one, which is the first of a burst."""
        texts, share, then = self._latest
        elapsed_s = max(then - self._start, 1e-3)
        line = f"{texts:,} text{'s' * (texts != 1)}, {texts / elapsed_s:,.1f} a second"
        if not share:
            return line
        share = min(share, 1)
        left_s = max(0, round(elapsed_s / share * (1 - share) - (now - then)))
        hours = f"{left_s // 3600}:{left_s // 60 % 60:02}" if left_s >= 3600 else f"{left_s // 60}"
        return f"{line}, {share:.0%}, {hours}:{left_s % 60:02} left"
