"""Classifies chunks of records, in order; a text that was just classified is not classified again."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from ..classifier import Classifier, Result
from ..decision.policy import CallOptions
from ..errors import TextError
from ..files.records import Chunk, Record
from ..scheduling.background import read_ahead

DIGEST_BYTES = 16
MAX_KNOWN_TEXTS, MAX_KNOWN_SCORES = 1 << 15, 1 << 18  # about 25 MB of results
MAX_WAITING_ROWS = 1 << 13  # rows that wait for results; beyond, texts are classified rather than looked up
CHUNKS_AHEAD = 4


class Scored(NamedTuple):
    """A chunk and its results.

    Attributes:
        chunk: The chunk.
        results: The result of each record.
        repeated: How many of them were looked up, because the text was repeated.
    """

    chunk: Chunk
    results: list[Result]
    repeated: int


def score_chunks(
    classifier: Classifier, chunks: Iterable[Chunk], options: CallOptions, *, dedupe: bool
) -> Generator[Scored, None, None]:
    """Classifies the records of chunks.

    Chunks are read in a background thread, and some texts are tokenized while others run.

    Args:
        classifier: The classifier.
        chunks: The chunks.
        options: Options of the predictions.
        dedupe: Whether to look up texts that are repeated.

    Raises:
        InputError: The chunks cannot be read any further; the chunks before it come first.
        InferenceError: The model fails.
    """
    known = _Known(min(MAX_KNOWN_TEXTS, MAX_KNOWN_SCORES // len(classifier.labels))) if dedupe else None
    waiting: deque[_Waiting] = deque()
    computed: deque[_Pending] = deque()  # in the order in which their results come

    def texts() -> Iterator[str]:
        for chunk in read_ahead(chunks, CHUNKS_AHEAD):
            full = sum(len(item.pending) for item in waiting) > MAX_WAITING_ROWS
            latest = _Waiting(chunk, None if full else known)
            waiting.append(latest)
            computed.extend(pending for pending, _ in latest.new)
            yield from [text for _, text in latest.new]

    for result in classifier.predict_iter(texts(), return_errors=True, **options):
        yield from _finished(waiting)  # chunks without new texts
        computed.popleft().result = result
        waiting[0].missing -= 1
        yield from _finished(waiting)
    yield from _finished(waiting)


class _Pending:
    """The result of a text, once it is there."""

    __slots__ = ("result",)
    result: Result


class _Known:
    """Results of the latest texts, by digest."""

    def __init__(self, size: int) -> None:
        self._pending: OrderedDict[bytes, _Pending] = OrderedDict()
        self._size = size

    def find(self, text: str) -> tuple[_Pending, bool]:
        """Returns the result of a text, and whether the text is new."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
        pending = self._pending.get(digest)
        if pending is not None:
            self._pending.move_to_end(digest)
            return pending, False
        self._pending[digest] = pending = _Pending()
        if len(self._pending) > self._size:
            self._pending.popitem(last=False)
        return pending, True


class _Waiting:
    """A chunk that waits for results.

    Attributes:
        chunk: The chunk.
        pending: The result of each record.
        new: Those that have to be computed, with their texts.
        missing: How many of these are not there yet.
    """

    def __init__(self, chunk: Chunk, known: _Known | None) -> None:
        self.chunk = chunk
        self.pending: list[_Pending] = []
        self.new: list[tuple[_Pending, str]] = []
        self.repeated = 0
        for record in chunk.records:
            self.pending.append(self._find(record, known))
        self.missing = len(self.new)

    def _find(self, record: Record, known: _Known | None) -> _Pending:
        if record.error is not None:
            failed = _Pending()
            failed.result = TextError(record.index, record.error)
            return failed
        pending, is_new = (_Pending(), True) if known is None else known.find(record.text)
        if is_new:
            self.new.append((pending, record.text))
        else:
            self.repeated += 1
        return pending


def _finished(waiting: deque[_Waiting]) -> Iterator[Scored]:
    while waiting and not waiting[0].missing:
        first = waiting.popleft()
        yield Scored(first.chunk, [pending.result for pending in first.pending], first.repeated)
