"""Puts texts together: a stream into chunks that fit into memory, texts of similar length into batches."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..engine.session import Session
from ..text.tokenizer import Encoded, Tokenizer
from .background import BackgroundTask

# Padded tokens of a batch. On a CPU activations then stay in the cache: twice as fast as 4096 (docs/experiments.md).
BATCH_TOKENS = {"cpu": 512, "cuda": 16384}
FIRST_CHUNK, LAST_CHUNK = 64, 2048  # texts: the first answers come soon, later ones are sorted among many
CHUNK_CHARACTERS = 1 << 20

Prepared = TypeVar("Prepared")


def batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Groups texts of similar length.

    Args:
        lengths: Tokens of each text.
        max_tokens: The most that a batch may have, padding included, unless it is one text.

    Yields:
        Positions in `lengths`; each comes once.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[position] > max_tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def run_batches(
    session: Session, tokenizer: Tokenizer, encoded: Sequence[Encoded], max_tokens: int
) -> npt.NDArray[np.float32]:
    """Runs any number of tokenized texts, in batches of similar length.

    Args:
        session: The model.
        tokenizer: Lays batches out.
        encoded: Token ids of each text.
        max_tokens: As for `batches`.

    Returns:
        Logits, (texts, labels) float32, in the order of the texts.

    Raises:
        InferenceError: As `Session.run`.
    """
    if len(encoded) == 1:
        return session.run(tokenizer.pad(encoded))
    logits = np.empty((len(encoded), session.labels), np.float32)
    for positions in batches([len(text.ids) for text in encoded], max_tokens):
        logits[positions] = session.run(tokenizer.pad([encoded[position] for position in positions]))
    return logits


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Cuts a stream into lists, by number and by size: short at first, so that the first answers come soon.

    If the stream raises, what came before makes a last list.
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


def prefetch(prepare: Callable[[list[str]], Prepared], parts: Iterable[list[str]]) -> Iterator[Prepared]:
    """Prepares each chunk in another thread while the caller is busy with the one before.

    Args:
        prepare: What to do with a chunk.
        parts: The chunks, taken in the caller's thread; for a single one no other is started.

    Yields:
        The results, in order; if the chunks end with an error, all that came before it.
    """
    errors: list[Exception] = []
    iterator = _until_error(parts, errors)
    first, second = next(iterator, None), next(iterator, None)
    if first is not None and second is None:
        yield prepare(first)
    elif first is not None and second is not None:
        task = BackgroundTask(functools.partial(prepare, first))
        for part in itertools.chain([second], iterator):
            following = BackgroundTask(functools.partial(prepare, part))
            yield task.result()
            task = following
        yield task.result()
    for error in errors:
        raise error


def _until_error(parts: Iterable[list[str]], errors: list[Exception]) -> Iterator[list[str]]:
    try:
        yield from parts
    except Exception as error:
        errors.append(error)
