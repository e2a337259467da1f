"""A queue in front of one session: texts of several calls that wait at the same time run as one batch.

Nothing waits for a batch to fill: a text that finds the queue idle runs at once, and what arrives while a batch runs
forms the next one. The calls share the session fairly, so that a call of one text does not wait for all texts of a call
of a thousand (start-time fair queueing, Goyal, Vin and Cheng 1996). Knows nothing of HTTP, event loops or labels.
"""

import atexit
import contextlib
import heapq
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

from ..engine.session import Session
from ..errors import FORKED, DeadlineError, InferenceError, LitmusError, OverloadError, TextError
from ..text.tokenizer import Encoded, LongText, Tokenizer
from .call import Call, Output, Timing

CHARACTERS_PER_TOKEN = 3  # English has about 4.5; the estimate is corrected once a text is tokenized
LATE = "the texts were not classified in time; allow more time, or send fewer"
LOOKAHEAD = 16
SMOOTHING = 0.2  # weight of the latest batch in the average time of a token

OnBatch = Callable[[int, int, float], None]


class Piece(NamedTuple):
    """A text of a call, or one of its windows; pieces run in the order of `turn`, then of `number`.

    Attributes:
        turn: The tokens that the session had run when it is this piece's turn, if each call got an equal share.
        number: Counts the texts in the order of arrival.
        window: Counts the windows of a text.
        tokens: Its tokens; estimated while `encoded` is None.
        call: The call it belongs to.
        position: Position of the text in the call.
        encoded: Its token ids; None while the text is not tokenized.
    """

    turn: float
    number: int
    window: int
    tokens: int
    call: Call
    position: int
    encoded: Encoded | None


class BatchQueue:
    """Runs the texts of many calls in one thread."""

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        batch_tokens: int,
        max_waiting_tokens: int | None = None,
        max_wait_s: float | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            session: The model.
            tokenizer: Its tokenizer.
            max_length: Maximum number of tokens of a text.
            batch_tokens: Maximum number of tokens of a batch, padding included. A single text may exceed it.
            max_waiting_tokens: Maximum number of tokens that wait, apart from the largest call; None for no limit.
            max_wait_s: Maximum time that a call is expected to wait for others, in seconds; None for no limit.
            on_batch: Called in the thread after each batch with its number of rows, its number of tokens, padding
                included, and the seconds that it took.
        """
        self._session = session
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self._max_waiting_tokens = max_waiting_tokens
        self._max_wait_s = max_wait_s
        self._on_batch = on_batch
        self._changed = threading.Condition()  # guards what follows
        self._waiting: list[Piece] = []  # a heap
        self._calls: set[Call] = set()
        self._turn = 0.0  # of the piece that ran last
        self._number = 0
        self._token_s = 0.0  # average time of a token
        self._closing = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._work, name="litmus-queue", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a thread that runs a model while Python exits may crash it

    @property
    def waiting_tokens(self) -> int:
        """Number of tokens that wait or run, in part estimated."""
        with self._changed:
            return sum([call.waiting_tokens for call in self._calls if call.is_open])

    @property
    def oldest_s(self) -> float:
        """Age of the oldest call that waits or runs, in seconds; 0 if there is none."""
        with self._changed:
            return max([call.age_s for call in self._calls if call.is_open], default=0.0)

    def submit(self, call: Call) -> None:
        """Queues a call.

        Raises:
            OverloadError: Too many tokens are waiting.
            InferenceError: The queue is closed, or another process created it.
        """
        self._check_open()  # before the lock, which another thread may have held when this process was forked
        sizes = [self._size(text, windows=call.windows) for text in call.texts]
        with self._changed:
            self._check_open()
            self._admit(sum(sizes))
            call.waiting_tokens = sum(sizes)
            self._calls.add(call)
            turn = self._turn
            for position, (text, size) in enumerate(zip(call.texts, sizes, strict=True)):
                encoded = text if isinstance(text, Encoded) else None
                if encoded is not None:
                    call.tokenized(position, [encoded])
                heapq.heappush(self._waiting, Piece(turn, self._number, 0, size, call, position, encoded))
                self._number += 1
                turn += size
            self._changed.notify()

    def run_alone(self, text: str, max_tokens: int) -> tuple[Output, Timing] | None:
        """Runs a short text at once in the caller's thread, if nothing waits or runs.

        Switching to the queue's thread and back would take longer than tokenizing the text.

        Args:
            text: The text.
            max_tokens: Limit for its number of tokens, as estimated.

        Returns:
            What the model made of it and where the time went; None if it did not run.

        Raises:
            TextError: The text cannot be classified.
            InferenceError: As `submit`, or the model cannot run.
        """
        if self._calls or self._size(text, windows=True) > max_tokens:
            return None
        self._check_open()
        start = time.perf_counter()
        encoded = self._tokenizer.encode(text)
        tokenized = time.perf_counter()
        logits = self._session.run(self._tokenizer.pad([encoded])).tolist()
        inference_s = time.perf_counter() - tokenized
        tokens = len(encoded.ids)
        if self._on_batch is not None:
            self._on_batch(1, tokens, inference_s)
        return Output(logits, [encoded.window]), Timing(0.0, tokenized - start, inference_s, tokens)

    def close(self) -> None:
        """Rejects further calls and returns when those that wait are done. Closing twice is fine."""
        if os.getpid() != self._process:
            return
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        atexit.unregister(self.close)

    def _size(self, text: str | Encoded, *, windows: bool) -> int:
        """Returns the number of tokens of a text, or an estimate."""
        if isinstance(text, Encoded):
            return len(text.ids)
        tokens = len(text) // CHARACTERS_PER_TOKEN + 2 if isinstance(text, str) else 1
        return tokens if windows else min(tokens, self._max_length)

    def _check_open(self) -> None:
        if os.getpid() != self._process:
            raise InferenceError(FORKED)
        if self._closing:
            raise InferenceError("the classifier is closed; load it again")

    def _admit(self, tokens: int) -> None:
        """Rejects a call of so many tokens if it would wait too long, or if too many would wait with it."""
        waiting = [call.waiting_tokens for call in self._calls if call.is_open]
        if not waiting:
            return
        wait_s = self._token_s * sum([min(other, tokens) for other in waiting])  # more of a call do not go before it
        others = sum(waiting) - max(waiting)  # one large call does not shut out the small ones
        if (self._max_waiting_tokens is not None and others + tokens > self._max_waiting_tokens) or (
            self._max_wait_s is not None and wait_s > self._max_wait_s
        ):
            raise OverloadError(self._token_s * sum(waiting))

    def _work(self) -> None:
        ready: list[Piece] = []
        while True:
            taken = self._take(ready)
            if not taken and not ready:
                return
            with self._failures_end_calls([*ready, *taken]):
                ready = self._limited(sorted(self._open(ready) + self._tokenize(self._open(taken))))
            if ready:
                batch = batch_of_first([piece.tokens for piece in ready], self._batch_tokens)
                self._run([ready[index] for index in batch])
                ready = [piece for index, piece in enumerate(ready) if index not in batch]

    def _take(self, ready: Sequence[Piece]) -> list[Piece]:
        """Takes as many waiting pieces as should be tokenized now; waits for one if none is ready."""
        room = LOOKAHEAD * self._batch_tokens - sum([piece.tokens for piece in ready])
        taken = []
        with self._changed:
            while not ready and not self._waiting and not self._closing:
                self._changed.wait()
            while self._waiting and room > 0:
                taken.append(heapq.heappop(self._waiting))
                room -= taken[-1].tokens
        return taken

    def _limited(self, ready: list[Piece]) -> list[Piece]:
        """Puts back what exceeds the look-ahead, such as the windows of a long text, so that others get their turn."""
        room = LOOKAHEAD * self._batch_tokens
        for index, piece in enumerate(ready):
            room -= piece.tokens
            if room < 0 and index:
                with self._changed:
                    for waiting in ready[index:]:
                        heapq.heappush(self._waiting, waiting)
                return ready[:index]
        return ready

    def _open(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Returns the pieces of calls that still need them, and ends the calls whose deadline has passed."""
        for call in {piece.call for piece in pieces}:
            if call.is_late:
                call.fail(DeadlineError(LATE))
            self._leave_if_ended(call)
        return [piece for piece in pieces if piece.call.is_open]

    def _tokenize(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Tokenizes pieces. A text that is read to its end may become several, one per window."""
        tokenized = [piece for piece in pieces if piece.encoded is not None]
        for windows in False, True:
            group = [piece for piece in pieces if piece.encoded is None and piece.call.windows == windows]
            if not group:
                continue
            start = time.perf_counter()
            with self._failures_end_calls(group):
                texts = [cast(str, piece.call.texts[piece.position]) for piece in group]
                results = [self._windows(result) for result in self._tokenizer.try_encode(texts, windows=windows)]
                self._spent(group, tokenize_s=time.perf_counter() - start)
                for piece, result in zip(group, results, strict=True):
                    tokenized += self._tokenized(piece, result)
        return tokenized

    def _windows(self, result: list[Encoded] | LongText | TextError) -> list[Encoded] | TextError:
        """Returns the windows of a text that `try_encode` left for later."""
        if not isinstance(result, LongText):
            return result
        try:
            return list(self._tokenizer.windows(result.text))
        except TextError as error:
            return error

    def _tokenized(self, piece: Piece, result: Sequence[Encoded] | TextError) -> list[Piece]:
        """Notes the result of a text and returns its windows as pieces, each with its own turn."""
        call, parts = piece.call, [] if isinstance(result, TextError) else result
        sizes = [len(encoded.ids) for encoded in parts]
        with self._changed:
            call.waiting_tokens += sum(sizes) - piece.tokens
        pieces = []
        turn = piece.turn
        for window, (encoded, size) in enumerate(zip(parts, sizes, strict=True)):
            pieces.append(Piece(turn, piece.number, window, size, call, piece.position, encoded))
            turn += size
        call.tokenized(piece.position, result)
        self._leave_if_ended(call)
        return pieces

    def _run(self, batch: Sequence[Piece]) -> None:
        """Runs a batch and notes its logits."""
        start = time.perf_counter()
        with self._failures_end_calls(batch):
            encoded = [piece.encoded for piece in batch if piece.encoded is not None]
            logits = self._session.run(self._tokenizer.pad(encoded)).tolist()
            seconds = time.perf_counter() - start
            tokens = len(batch) * max([piece.tokens for piece in batch])
            with self._changed:
                self._turn = max(self._turn, min([piece.turn for piece in batch]))
                self._token_s += (SMOOTHING if self._token_s else 1) * (seconds / tokens - self._token_s)
                for piece in batch:
                    piece.call.waiting_tokens -= piece.tokens
            self._spent(batch, inference_s=seconds)
            if self._on_batch is not None:
                self._on_batch(len(batch), tokens, seconds)
            for piece, row in zip(batch, logits, strict=True):
                piece.call.inferred(piece.position, piece.window, row)
                self._leave_if_ended(piece.call)

    @contextlib.contextmanager
    def _failures_end_calls(self, pieces: Sequence[Piece]) -> Iterator[None]:
        """Ends the calls of these pieces if the body fails, so that no caller waits for ever and the thread goes on."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, LitmusError):
                error = InferenceError(f"running the batch failed: {type(error).__name__}")
            for call in {piece.call for piece in pieces}:
                call.fail(error)
                self._leave_if_ended(call)

    def _leave_if_ended(self, call: Call) -> None:
        if not call.is_open:
            with self._changed:
                self._calls.discard(call)

    def _spent(self, pieces: Sequence[Piece], **seconds: float) -> None:
        for call in {piece.call for piece in pieces}:
            call.spent(**seconds)


def batch_of_first(lengths: Sequence[int], max_tokens: int) -> set[int]:
    """Chooses the batch that the first text runs in: with it those whose lengths are next to its own.

    Args:
        lengths: Number of tokens of each text, one or more.
        max_tokens: Limit for the batch, padding included. The first text may exceed it.

    Returns:
        Positions in `lengths`.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    low = high = order.index(0)
    while True:
        size = high - low + 2
        shorter = low > 0 and size * lengths[order[high]] <= max_tokens
        longer = high + 1 < len(order) and size * lengths[order[high + 1]] <= max_tokens
        if shorter and longer:
            first = lengths[0]
            shorter = first - lengths[order[low - 1]] <= lengths[order[high + 1]] - first
        if shorter:
            low -= 1
        elif longer:
            high += 1
        else:
            return set(order[low : high + 1])
