"""Runs a model over texts and returns its logits, or the inputs of one of its layers; knows nothing of labels.

Texts of similar length share a batch, which keeps padding small. Results are in the order of the texts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from runtime.text.truncation import encode_prefix, limit_text, prefix_rule

from ..arrays import Floats, Integers

TEXTS_PER_BATCH = 16
LONG_TEXT = 100_000


def predict_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    bf16: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Floats:
    """Runs a model, by default in its own precision, whatever precision it was trained in.

    Args:
        model: A classifier.
        tokenizer: Its tokenizer, which truncates to `model_max_length`.
        texts: One or more.
        bf16: Whether to run in bf16: faster where the hardware has it, and less exact.
        advance: Called with the number of texts after each batch, for a progress bar.

    Returns:
        (texts, labels) float32, in the order of the texts.
    """
    order = _by_length(texts)
    starts = range(0, len(texts), TEXTS_PER_BATCH)
    batches = [order[start : start + TEXTS_PER_BATCH] for start in starts]
    rows = []
    for batch in batches:
        rows.append(_logits(model, tokenizer, [texts[row] for row in batch], bf16=bf16))
        advance(len(batch))
    return np.concatenate(rows)[np.argsort(order)]


def layer_inputs(
    model: PreTrainedModel,
    layer: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    bf16: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Floats:
    """Runs a model and returns the inputs of one of its layers.

    Args:
        model: A classifier.
        layer: One of its layers whose input is one vector per text.
        tokenizer: Its tokenizer.
        texts: One or more.
        bf16: As for `predict_logits`.
        advance: As for `predict_logits`.

    Returns:
        (texts, features) float32, in the order of the texts.
    """
    seen: list[Floats] = []

    def keep(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].float().cpu().numpy())

    handle = layer.register_forward_pre_hook(keep)
    try:
        predict_logits(model, tokenizer, texts, bf16=bf16, advance=advance)
    finally:
        handle.remove()
    return np.concatenate(seen)[np.argsort(_by_length(texts))]


def truncate_texts(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[str]:
    """Shortens texts of more than `LONG_TEXT` characters, without changing the tokens that the model reads.

    From a text of 20 MB a tokenizer makes gigabytes of tokens, of which only `model_max_length` are used.
    """
    if all(len(text) <= LONG_TEXT for text in texts):
        return list(texts)
    backend, length = tokenizer.backend_tokenizer, tokenizer.model_max_length
    backend.no_padding()
    backend.enable_truncation(length)
    cut = prefix_rule(backend)
    shortened = []
    for _, text in (limit_text(text, length) for text in texts):
        overflowing = encode_prefix(backend, text, length, cut).overflowing if cut and len(text) > LONG_TEXT else []
        shortened.append(text[: overflowing[-1].offsets[-2][1]] if overflowing else text)
    return shortened


def _by_length(texts: Sequence[str]) -> Integers:
    """Returns the row numbers sorted by text length, the order in which they are run."""
    return np.argsort([len(text) for text in texts], kind="stable")


def _logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[str], *, bf16: bool) -> Floats:
    model.train(mode=False)
    texts = truncate_texts(tokenizer, texts)
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        return np.asarray(model(**inputs).logits.float().cpu().numpy(), np.float32)
