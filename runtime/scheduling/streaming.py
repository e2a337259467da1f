"""Splits a stream of texts into chunks that fit into memory, and prepares each chunk while the one before it runs."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from .background import BackgroundTask

FIRST_CHUNK, LAST_CHUNK = 64, 2048  # texts: the first results come soon, later batches are chosen among many texts
CHUNK_CHARACTERS = 1 << 20

Prepared = TypeVar("Prepared")


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Splits a stream into lists, limited in number of texts and of characters. The first lists are short.

    If the stream raises an error, the texts before it form the last list, and the error follows.
    """
    chunk: list[str] = []
    size, most = 0, FIRST_CHUNK
    try:
        for text in texts:
            chunk.append(text)
            size += len(text) if isinstance(text, str) else 0
            if len(chunk) >= most or size >= CHUNK_CHARACTERS:
                yield chunk
                chunk, size, most = [], 0, min(2 * most, LAST_CHUNK)
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def prefetch(function: Callable[[list[str]], Prepared], chunks: Iterable[list[str]]) -> Iterator[Prepared]:
    """Applies a function to each chunk, one step ahead of the caller, in a background thread.

    Args:
        function: Prepares a chunk.
        chunks: The chunks. They are read in the caller's thread. A single chunk is prepared there as well.

    Yields:
        The results, in order. If reading the chunks raises an error, it is raised after the results before it.
    """
    reader = _Reader(chunks)
    chunk, following = reader.read(), reader.read()
    if chunk is not None and following is None:
        yield function(chunk)
    elif chunk is not None:
        task = BackgroundTask(functools.partial(function, chunk))
        while following is not None:
            next_task = BackgroundTask(functools.partial(function, following))
            yield task.result()
            task, following = next_task, reader.read()
        yield task.result()
    if reader.error is not None:
        raise reader.error


class _Reader:
    """Reads chunks and holds back the error that ends them."""

    def __init__(self, chunks: Iterable[list[str]]) -> None:
        self._chunks = iter(chunks)
        self.error: Exception | None = None

    def read(self) -> list[str] | None:
        """Returns the next chunk, or None after the last one."""
        try:
            return None if self.error else next(self._chunks, None)
        except Exception as error:
            self.error = error
            return None
