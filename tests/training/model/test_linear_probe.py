"""The classification layer's head start: a regression on the frozen encoder, in every family."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from training.arguments import EncoderArguments
from training.data.dataset import Split
from training.model.encoder import load_model, load_tokenizer
from training.model.inference import layer_inputs, predict_logits
from training.model.linear_probe import STRENGTH, fit_head, last_layer

from ...models import families, write_checkpoint
from ..runs import WORDS

LABELS = ("late", "fine", "loud", "never")
TEXTS = tuple(f"{text} {'so ' * (index % 7)}{index}" for index in range(12) for text in WORDS.values())
TARGETS = np.arange(36) % 3


@pytest.mark.parametrize("family", families())
def test_every_family(family: str, tmp_path: Path) -> None:
    """In every family the fitted head predicts like the regression, and the encoder does not change."""
    folder = str(write_checkpoint(tmp_path, families()[family]))
    arguments = EncoderArguments(model_name_or_path=folder, max_length=32)
    encoder, tokenizer = load_model(arguments, LABELS[:3], "single_label"), load_tokenizer(arguments)
    assert encoder.new_head
    before = {name: weight.clone() for name, weight in encoder.model.base_model.state_dict().items()}
    split = Split(TEXTS, TARGETS, np.arange(36), TEXTS)
    fit_head(encoder.model, tokenizer, split, "single_label", seed=0, bf16=False)
    features = layer_inputs(encoder.model, last_layer(encoder.model), tokenizer, TEXTS)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0).mean()
    expected = LogisticRegression(C=STRENGTH, max_iter=1000).fit(scaled, TARGETS).predict(scaled)
    found = predict_logits(encoder.model, tokenizer, TEXTS).argmax(axis=1)
    assert (found == expected).mean() > 0.9
    assert (found == TARGETS).mean() > 0.6
    for name, weight in encoder.model.base_model.state_dict().items():
        torch.testing.assert_close(weight, before[name])


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2), (1,)])
def test_labels_without_rows(encoder: Path, present: tuple[int, ...]) -> None:
    """Labels without rows are never predicted, and the others are learned."""
    arguments = EncoderArguments(model_name_or_path=str(encoder), max_length=32)
    model, tokenizer = load_model(arguments, LABELS, "single_label").model, load_tokenizer(arguments)
    kept = np.flatnonzero(np.isin(TARGETS, present))
    texts, targets = tuple(TEXTS[row] for row in kept), TARGETS[kept]
    fit_head(model, tokenizer, Split(texts, targets, kept, texts), "single_label", seed=0, bf16=False)
    found = predict_logits(model, tokenizer, texts).argmax(axis=1)
    assert set(found) <= set(present)
    assert (found == targets).mean() > 0.8


def test_multi_label(encoder: Path) -> None:
    """Each label has its own regression; labels of no row or of all rows have their log odds for every text."""
    arguments = EncoderArguments(model_name_or_path=str(encoder), max_length=32)
    model, tokenizer = load_model(arguments, LABELS, "multi_label").model, load_tokenizer(arguments)
    targets = np.zeros((36, 4), np.float32)
    targets[np.arange(36), TARGETS] = 1
    targets[:, 1] = 1
    fit_head(model, tokenizer, Split(TEXTS, targets, np.arange(36), TEXTS), "multi_label", seed=0, bf16=False)
    logits = predict_logits(model, tokenizer, TEXTS)
    assert all(roc_auc_score(targets[:, label], logits[:, label]) > 0.9 for label in (0, 2))
    assert logits[:, 1] == pytest.approx(np.log(36.5 / 0.5), rel=1e-4)
    assert logits[:, 3] == pytest.approx(-np.log(36.5 / 0.5), rel=1e-4)


def test_head_of_the_same_labels_is_kept(encoder: Path) -> None:
    """The head of a checkpoint is kept if the labels are the same in the same order, else it is new."""
    arguments = EncoderArguments(model_name_or_path=str(encoder), max_length=32)
    assert not load_model(arguments, ("calm", "glad", "sad"), "single_label").new_head
    assert load_model(arguments, ("calm", "sad", "glad"), "single_label").new_head
    assert load_model(arguments, LABELS, "single_label").new_head
