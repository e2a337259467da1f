"""Folds the temperature into the classification layer, so that a checkpoint's own logits are the calibrated ones.

Every reader of the checkpoint then computes the same scores: a transformers pipeline knows nothing of `training.json`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ..arrays import Floats
from .inference import predict_logits
from .linear_probe import last_layer

TOLERANCE = 1e-3  # of the largest logit: rounding is a thousand times less


def fold_temperature(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    logits: Floats,
    temperature: float,
) -> bool:
    """Divides the model's last layer by a temperature, in place, if that divides its logits; the labels stay.

    Args:
        model: A classifier.
        tokenizer: Its tokenizer.
        texts: Some to check the result on.
        logits: (texts, labels) float32, the model's on these.
        temperature: Above 0.

    Returns:
        Whether it did; a head that computes something else of its last layer is left as it was.
    """
    layer = last_layer(model)
    if layer is None:
        return False
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    scale(layer, 1 / temperature)
    if np.abs(predict_logits(model, tokenizer, texts) * temperature - logits).max() <= TOLERANCE * np.abs(logits).max():
        return True
    layer.load_state_dict(before)
    return False


def scale(layer: torch.nn.Linear, factor: float) -> None:
    """Multiplies what a layer computes, in place."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(factor)
