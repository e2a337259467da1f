"""Reports progress and errors on stderr."""

import os
import sys
import time
from typing import Self

INTERVAL_S, LINE_INTERVAL_S = 0.5, 30.0  # on a terminal, which shows one line; elsewhere, where lines accumulate
ERRORS_SHOWN = 10
CLEAR = "\033[K"  # erases the rest of the terminal's line


def say(line: str, *, quiet: bool = False) -> None:
    """Prints a line on stderr."""
    if not quiet:
        _write(line + "\n")


def _write(content: str) -> None:
    """Writes to stderr; if that is closed, the job matters more, and later content goes nowhere."""
    try:
        sys.stderr.write(content)
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class Progress:
    """Counts texts and failures; reports the rate, and the time left if the size of the input is known."""

    def __init__(
        self, *, quiet: bool = False, shown: bool = True, total: int | None = None, done: int = 0, noun: str = "text"
    ) -> None:
        """Starts the clock.

        Args:
            quiet: Whether to suppress all output.
            shown: Whether to report progress.
            total: Number of texts, if it is known.
            done: How many of them were done earlier.
            noun: What is counted.
        """
        self.texts = 0
        self.failures = 0
        self._total, self._done, self._noun = total, done, noun
        self._quiet = quiet
        self._shown = shown
        self._terminal = sys.stderr.isatty()
        self._start = self._said = time.monotonic()
        self._line_is_used = False
        self._latest = (0, 0.0, self._start)  # texts, fraction and time of the last count; texts come in bursts

    def count(self, share: float | None = None) -> None:
        """Counts one finished text.

        Args:
            share: Fraction of the input up to this text, from 0 to 1; None if that is unknown.
        """
        self.texts += 1
        now = time.monotonic()
        if self.texts > 1:
            self._show_if_due(now)
        self._latest = (self.texts, share or 0.0, now)

    def add(self, texts: int) -> None:
        """Counts finished texts of the known total."""
        assert self._total is not None
        now = time.monotonic()
        self.texts += texts
        self._latest = (self.texts, self.texts / (self._total - self._done), now)
        self._show_if_due(now)

    def _show_if_due(self, now: float) -> None:
        if not self._shown or now - self._said < (INTERVAL_S if self._terminal else LINE_INTERVAL_S):
            return
        self._said = now
        line = self._line(now)
        if not self._terminal:
            self._print(line + "\n")
        elif not self._quiet:
            self._clear()
            self._print(line + "\r")
            self._line_is_used = True

    def fail(self, index: int, reason: str) -> None:
        """Counts one text that could not be classified; the first reasons are printed."""
        self.failures += 1
        if self.failures <= ERRORS_SHOWN:
            self._clear()
            self._print(f"error: text {index}: {reason}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Prints the number of failures if not all were printed."""
        self._clear()
        if self.failures > ERRORS_SHOWN and self._total is None:
            self._print(f"error: {self.failures:,} texts could not be classified; their rows have the errors\n")

    def _print(self, content: str) -> None:
        if not self._quiet:
            _write(content)

    def _clear(self) -> None:
        """Erases the progress on the terminal's line."""
        if self._line_is_used:
            self._line_is_used = False
            self._print(CLEAR)

    def _line(self, now: float) -> str:
        """Returns the progress up to the previous text, because this one is the first of a burst."""
        texts, share, then = self._latest
        elapsed_s = max(then - self._start, 1e-3)
        shown = texts + self._done
        line = f"{shown:,} {self._noun}{'s' * (shown != 1)}, {texts / elapsed_s:,.1f} a second"
        if self._total is not None:
            line += f", {self.failures:,} rejected"
        if not share:
            return line
        share = min(share, 1)
        left_s = max(0, round(elapsed_s / share * (1 - share) - (now - then)))
        hours = f"{left_s // 3600}:{left_s // 60 % 60:02}" if left_s >= 3600 else f"{left_s // 60}"
        if self._total:
            share = (self._done + texts) / self._total
        return f"{line}, {share:.0%}, {hours}:{left_s % 60:02} left"
