"""Compares an exported graph with its checkpoint in PyTorch, on real texts.

The graph runs as the runtime will run it. The batches cover what tends to go wrong: a single token, the largest token
id, ragged rows with padding, the longest text that the model reads (up to `MAX_TOKENS`), and non-Latin scripts.
"""

from collections.abc import Sequence

import numpy as np
import torch

from runtime.engine.session import Session
from runtime.text.tokenizer_file import largest_id
from training.arrays import Floats

from ..console import phase
from ..sources.checkpoint import Checkpoint
from ..sources.golden_texts import GOLDEN
from ..sources.source import Source
from .variant_files import Inputs

TOLERANCE = 1e-4
MAX_TOKENS = 2048  # per text; the memory of eager attention grows quadratically, to 30 GB for ModernBERT's 8192


def max_difference(checkpoint: Checkpoint, session: Session) -> float:
    """Returns the largest absolute logit difference from PyTorch. NaN counts as infinite."""
    largest = 0.0
    compared = batches(checkpoint)
    with phase("parity", steps=len(compared)) as progress:
        for inputs in compared:
            difference = float(np.abs(session.run(inputs) - torch_logits(checkpoint, inputs)).max())
            largest = max(largest, difference if np.isfinite(difference) else np.inf)
            progress.advance()
    return largest


def batches(source: Source) -> list[Inputs]:
    """Returns the inputs to compare."""
    length = min(source.max_length, MAX_TOKENS)
    rows = [source.encode(text)[:length] for text in GOLDEN]
    longest = (source.encode(GOLDEN[-1]) * length)[:length]
    return [
        pad(source, [rows[0][:1]]),
        pad(source, [[largest_id(source.tokenizer)]]),
        *(pad(source, [row]) for row in rows),
        pad(source, rows),
        pad(source, [longest, rows[1], longest[: len(longest) // 2]]),
    ]


def pad(source: Source, rows: Sequence[Sequence[int]]) -> Inputs:
    """Returns token ids as `input_ids`, `attention_mask` and `token_type_ids`, padded on the right."""
    shape = len(rows), max(map(len, rows))
    ids = np.full(shape, source.pad_token_id, np.int64)
    mask = np.zeros(shape, np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}


def torch_logits(checkpoint: Checkpoint, inputs: Inputs) -> Floats:
    """Returns PyTorch's logits, (batch, labels) float32."""
    tensors = {name: torch.from_numpy(inputs[name]) for name in checkpoint.input_names}
    with torch.inference_mode():
        logits = checkpoint.model(**tensors, return_dict=True).logits
    return np.asarray(logits, np.float32)
