"""Groups texts of similar length into batches and runs them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..engine.session import Session
from ..text.tokenizer import Encoded, Tokenizer

# Tokens of a batch, padding included. With 512 on a CPU the activations stay in the cache, which is twice as fast as
# 4096 (docs/experiments.md).
BATCH_TOKENS = {"cpu": 512, "cuda": 16384}


def batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Groups texts of similar length.

    Args:
        lengths: Number of tokens of each text.
        max_tokens: Limit for a batch, padding included. A single text may exceed it.

    Yields:
        Positions in `lengths`; each position once.
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
        tokenizer: Pads the batches.
        encoded: Token ids of each text.
        max_tokens: Limit for a batch, as for `batches`.

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
