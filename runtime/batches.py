"""Puts texts of similar length into batches of bounded size."""

from collections.abc import Iterator, Sequence

MAX_BATCH_TOKENS = 512  # activations then stay in the cache: twice as fast as 4096 (docs/experiments.md)


def batches(lengths: Sequence[int], max_tokens: int = MAX_BATCH_TOKENS) -> Iterator[list[int]]:
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
