"""One call on its way through the queue: its texts, what the model made of them, and where the time went."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import LitmusError, TextError
from ..text.tokenizer import Encoded, Window


class Output(NamedTuple):
    """What the model made of one text.

    Attributes:
        logits: (windows, labels); a text that was truncated is one window.
        windows: The windows.
    """

    logits: list[list[float]]
    windows: list[Window]


class Timing(NamedTuple):
    """Where the time of a call went, in seconds, and its size.

    Attributes:
        queue_s: Waiting for other calls.
        tokenize_s: Tokenizing the texts, and those of other calls beside them.
        inference_s: Running the batches that they were part of.
        tokens: Tokens of its texts, special tokens included.
    """

    queue_s: float
    tokenize_s: float
    inference_s: float
    tokens: int


class Call:
    """The texts of one call.

    Attributes:
        outputs: For each text what the model made of it, or why it cannot be classified. Complete once `done` is called
            and `error` is None.
        error: What ended the whole call; None if nothing did.
        waiting_tokens: How many of its tokens wait or run; estimated until they are tokenized.
    """

    def __init__(
        self,
        texts: Sequence[str | Encoded],
        done: Callable[["Call"], None],
        *,
        windows: bool = False,
        deadline: float | None = None,
    ) -> None:
        """Describes a call.

        Args:
            texts: One text or more. Those that are tokenized already run as they are.
            done: Called once, in the queue's thread, when the outputs are complete or the call failed.
            windows: Whether to read long texts to their end, in windows.
            deadline: Time on the clock of `time.monotonic` at which the call fails if it is not complete.
        """
        self.texts = texts
        self.windows = windows
        self.outputs: list[Output | TextError] = [Output([], [])] * len(texts)
        self.error: LitmusError | None = None
        self.waiting_tokens = 0
        self._done = done
        self._deadline = deadline
        self._cancelled = False
        self._rows_left = len(texts)
        self._started = time.perf_counter()
        self._tokens = 0
        self._tokenize_s = self._inference_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether its outputs are still to be computed."""
        return self._rows_left > 0 and self.error is None and not self._cancelled

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def age_s(self) -> float:
        """Time since the call, in seconds."""
        return time.perf_counter() - self._started

    def timing(self) -> Timing:
        """Returns where the time went up to now."""
        queue_s = max(0.0, self.age_s - self._tokenize_s - self._inference_s)
        return Timing(queue_s, self._tokenize_s, self._inference_s, self._tokens)

    def cancel(self) -> None:
        """Says that nobody waits for the outputs: texts that have not run will not run, and `done` is not called."""
        self._cancelled = True

    def fail(self, error: LitmusError) -> None:
        """Ends the call with an error, unless it has ended."""
        if self.is_open:
            self.error = error
            self._end()

    def tokenized(self, position: int, result: Sequence[Encoded] | TextError) -> None:
        """Notes the windows of a text, which are to run, or why there are none."""
        if isinstance(result, TextError):
            self.outputs[position] = result.at(position)
            self._row_is_done()
        else:
            self.outputs[position] = Output([[]] * len(result), [encoded.window for encoded in result])
            self._rows_left += len(result) - 1
            self._tokens += sum([len(encoded.ids) for encoded in result])

    def inferred(self, position: int, window: int, logits: list[float]) -> None:
        """Notes the logits, (labels,), of a window of a text."""
        output = self.outputs[position]
        assert isinstance(output, Output)
        output.logits[window] = logits
        self._row_is_done()

    def spent(self, *, tokenize_s: float = 0, inference_s: float = 0) -> None:
        """Adds the time of a step that some of its texts were part of. Call it before the step's results are noted."""
        self._tokenize_s += tokenize_s
        self._inference_s += inference_s

    def _row_is_done(self) -> None:
        self._rows_left -= 1
        if self._rows_left == 0 and self.error is None and not self._cancelled:
            self._end()

    def _end(self) -> None:
        with contextlib.suppress(Exception):  # an error of the caller's function must not end the queue's thread
            self._done(self)
