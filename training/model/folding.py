"""Folds the temperature into the classification layer, so that the checkpoint's logits are calibrated.

Every user of the checkpoint then computes the same scores, including a transformers pipeline, which does not read
`training.json`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ..arrays import Floats
from .inference import predict_logits
from .linear_probe import last_layer

TOLERANCE = 1e-3  # relative to the largest logit; rounding errors are a thousand times smaller


def fold_temperature(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    logits: Floats,
    temperature: float,
) -> bool:
    """Divides the model's last layer by a temperature, in place, if that divides the logits; predictions do not change.

    Args:
        model: A classifier.
        tokenizer: Its tokenizer.
        texts: Texts to check the result on.
        logits: (texts, labels) float32, the model's logits of these texts.
        temperature: Above 0.

    Returns:
        Whether the temperature was folded. A model that processes the output of its last layer is not changed.
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
    """Multiplies the output of a layer by a factor, by changing its weights in place."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(factor)
