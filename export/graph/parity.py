"""Checks that an exported graph computes what its checkpoint computes in PyTorch, on real texts.

The graph runs as the runtime will run it. The batches are those that have gone wrong elsewhere: a single token, the
largest token id, ragged rows with padding, the longest length the model reads (up to `MAX_TOKENS`), and writing systems
other than Latin.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from runtime.engine.session import Session
from runtime.text.tokenizer_file import largest_id

from ..sources.checkpoint import Checkpoint, Source
from ..sources.golden_texts import GOLDEN

TOLERANCE = 1e-4
MAX_TOKENS = 2048  # of a text; eager attention takes memory by the square, 30 GB for ModernBERT's 8192
Inputs = dict[str, npt.NDArray[np.int64]]


def max_difference(checkpoint: Checkpoint, session: Session) -> float:
    """Returns the largest absolute difference of a logit from PyTorch's; NaN counts as infinite."""
    worst = 0.0
    for inputs in batches(checkpoint):
        difference = float(np.abs(session.run(inputs) - torch_logits(checkpoint, inputs)).max())
        worst = max(worst, difference if np.isfinite(difference) else np.inf)
    return worst


def batches(source: Source) -> Iterator[Inputs]:
    """Yields the inputs to compare, each (batch, sequence) int64."""
    length = min(source.max_length, MAX_TOKENS)
    rows = [source.encode(text)[:length] for text in GOLDEN]
    longest = (source.encode(GOLDEN[-1]) * length)[:length]
    yield pad(source, [rows[0][:1]])
    yield pad(source, [[largest_id(source.tokenizer)]])
    yield from (pad(source, [row]) for row in rows)
    yield pad(source, rows)
    yield pad(source, [longest, rows[1], longest[: len(longest) // 2]])


def pad(source: Source, rows: Sequence[Sequence[int]]) -> Inputs:
    """Lays token ids out as `input_ids`, `attention_mask` and `token_type_ids`, padded on the right."""
    shape = len(rows), max(map(len, rows))
    ids = np.full(shape, source.pad_token_id, np.int64)
    mask = np.zeros(shape, np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}


def torch_logits(checkpoint: Checkpoint, inputs: Inputs) -> npt.NDArray[np.float32]:
    """Returns PyTorch's logits, (batch, labels) float32."""
    read = {name: torch.from_numpy(inputs[name]) for name in checkpoint.input_names}
    with torch.inference_mode():
        logits = checkpoint.model(**read, return_dict=True).logits
    return np.asarray(logits, np.float32)
