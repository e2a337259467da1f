"""The encoder to start from: its settings and its weights."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from training.arguments import EncoderArguments
from training.errors import EncoderError
from training.model.distillation import Teacher, student_of
from training.model.encoder import load_model, load_tokenizer, set_dropout

from ...models import LABELS, bert, families, write_checkpoint

RATE = 0.375  # that of no config


@pytest.mark.parametrize("family", sorted({*families()} - {"mpnet"}))
def test_dropout_of_the_head(family: str) -> None:
    """`--dropout` sets the dropout of the classification head, and no other."""
    config = families()[family]
    set_dropout(config, attention=None, head=RATE)
    model = AutoModelForSequenceClassification.from_config(config)
    rates = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    changed = {name for name, rate in rates.items() if rate == RATE}
    assert changed == {name for name in rates if not name.startswith((f"{model.base_model_prefix}.", "pooler."))}
    assert len(changed) == 1


def test_family_without_dropout_of_the_head() -> None:
    """A family whose head has no dropout of its own is an error only if the option is passed."""
    config = families()["mpnet"]
    set_dropout(config, attention=0.0, head=None)
    with pytest.raises(EncoderError, match=r"^--dropout: the family 'mpnet' has no dropout for the .* choose another"):
        set_dropout(config, attention=0.0, head=RATE)


def test_dropout_of_encoder_and_student(tmp_path: Path) -> None:
    """The option reaches an encoder and a student; without it, the config's dropout stays."""
    folder = str(write_checkpoint(tmp_path, bert("single_label")))
    arguments = EncoderArguments(model_name_or_path=folder, max_length=32)
    plain = load_model(arguments, LABELS["single_label"], "single_label").model
    assert plain.dropout.p == plain.config.hidden_dropout_prob
    arguments.dropout = RATE
    assert load_model(arguments, LABELS["single_label"], "single_label").model.dropout.p == RATE
    student = student_of(Teacher(plain, load_tokenizer(arguments)), 1, attention_dropout=0.0, dropout=RATE)
    assert student.model.dropout.p == RATE
