"""Initializes a new classification layer with a logistic regression on the frozen encoder's features.

A randomly initialized layer changes the encoder strongly before it has learned anything, and on small data the encoder
may not recover for many epochs: all-MiniLM was trained with mean pooling, classifiers read [CLS], and the loss stays on
a plateau. Fitting the layer first and then fine-tuning both is LP-FT (Kumar et al. 2022, arXiv:2202.10054). The model
stays a plain Hugging Face one.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from runtime.artifact.manifest import Task

from ..arrays import Floats, Integers, Targets
from ..data.dataset import Split
from ..phases import phase
from .inference import layer_inputs

MAX_CHARACTERS = 2_000_000  # about half a million tokens: bounds the time on a large data set
CHARACTERS_PER_TOKEN = 8  # no more of a text is read
MAX_ITERATIONS = 1000
STRENGTH = 0.001  # C of the regression on features of unit variance; docs/experiments.md has others

logger = logging.getLogger(__name__)


def fit_head(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, train: Split, task: Task, *, seed: int, bf16: bool
) -> None:
    """Fits the model's last layer on the frozen encoder, in place.

    Args:
        model: Its last layer is overwritten.
        tokenizer: Its tokenizer.
        train: The training split; of a long one, a random sample of `MAX_CHARACTERS` in all.
        task: `single_label` or `multi_label`.
        seed: Random seed of the sample.
        bf16: Whether the encoder may run in bf16.
    """
    layer = last_layer(model)
    if layer is None:
        logger.warning("no head start: the encoder's classification head does not end in a linear layer")
        return
    if layer_inputs(model, layer, tokenizer, train.texts[:1], bf16=bf16).ndim != 2:
        logger.warning("no head start: the encoder's classification head reads every token")
        return
    rows = _sample(train.texts, CHARACTERS_PER_TOKEN * tokenizer.model_max_length, seed)
    texts = [train.texts[row] for row in rows]
    with phase("head start", len(texts)) as running:
        features = layer_inputs(model, layer, tokenizer, texts, bf16=bf16, advance=running.advance)
        centre, spread = features.mean(axis=0), float(features.std(axis=0).mean()) or 1.0
        weight, bias = _regression((features - centre) / spread, train.targets[rows], task, layer.out_features)
    weight /= spread
    bias -= weight @ centre
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))


def last_layer(model: PreTrainedModel) -> torch.nn.Linear | None:
    """Returns the linear layer that computes the logits, or None if the head does not end in one."""
    inside = {id(module) for module in model.base_model.modules()} if model.base_model is not model else set()
    linear = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
        and id(module) not in inside
        and module.out_features == model.config.num_labels
    ]
    return linear[-1] if linear else None


def _sample(texts: Sequence[str], read: int, seed: int) -> Integers:
    """Draws rows with `MAX_CHARACTERS` in all; of a text, the first `read` characters count."""
    rows = np.random.default_rng(seed).permutation(len(texts))
    characters = np.cumsum([min(len(texts[row]), read) for row in rows])
    return rows[: max(1, int(np.searchsorted(characters, MAX_CHARACTERS, side="right")))]


def _regression(features: Floats, targets: Targets, task: Task, labels: int) -> tuple[Floats, Floats]:
    """Returns (labels, features) weights and (labels,) biases; labels of all rows or none get log odds."""
    weight, bias = np.zeros((labels, features.shape[1]), np.float32), np.zeros(labels, np.float32)
    if task == "multi_label":
        for label in range(labels):
            positives = targets[:, label].sum()
            bias[label] = np.log((positives + 0.5) / (len(targets) - positives + 0.5))
            if 0 < positives < len(targets):
                fitted = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS).fit(features, targets[:, label])
                weight[label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
        return weight, bias
    present = np.unique(targets)
    counts = np.bincount(targets, minlength=labels)
    bias[:] = np.log((counts + 0.5) / len(targets))
    if len(present) == 2:  # one row of coefficients: the second label against the first
        fitted = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS).fit(features, targets)
        weight[present] = np.concatenate([-fitted.coef_, fitted.coef_]) / 2
        bias[present] = np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2
    elif len(present) > 2:
        fitted = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS).fit(features, targets)
        weight[present], bias[present] = fitted.coef_, fitted.intercept_
    return weight, bias
