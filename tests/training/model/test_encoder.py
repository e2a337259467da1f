"""The encoder to start from: its settings and its weights."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from training.arguments import EncoderArguments
from training.errors import EncoderError
from training.model.distillation import Teacher, student_of
from training.model.encoder import fingerprint, load_model, load_tokenizer, set_dropout

from ...models import LABELS, Planted, bert, families, pickle_weights, write_checkpoint

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


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_pickled_weights(encoder: Path, tmp_path: Path, zipped: bool) -> None:
    """An encoder with `pytorch_model.bin` alone gives the same weights as with safetensors."""
    labels = LABELS["single_label"]
    expected = load_model(EncoderArguments(model_name_or_path=str(encoder), max_length=32), labels, "single_label")
    folder = pickle_weights(Path(shutil.copytree(encoder, tmp_path / "encoder")), zipped=zipped)
    found = load_model(EncoderArguments(model_name_or_path=str(folder), max_length=32), labels, "single_label")
    assert not found.new_head
    weights = found.model.state_dict()
    for name, weight in expected.model.state_dict().items():
        assert torch.equal(weight, weights[name])


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_pickle_with_code(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    """A pickle that could run code is refused in one line, nothing runs, and no environment variable changes that."""
    trap = tmp_path / "trap"
    folder = pickle_weights(Path(shutil.copytree(encoder, tmp_path / "encoder")), Planted(trap), zipped=zipped)
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    trap.rmdir()  # so it works where it is read without care
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    arguments = EncoderArguments(model_name_or_path=str(folder), max_length=32)
    with pytest.raises(
        EncoderError, match=r"its pytorch_model\.bin is damaged, or has more than tensors.*was run\. Cho"
    ):
        load_model(arguments, LABELS["single_label"], "single_label")
    assert not trap.exists()


@pytest.mark.parametrize("size", [0, 100, 10_000])
def test_cut_pickle(encoder: Path, tmp_path: Path, size: int) -> None:
    """A truncated `pytorch_model.bin` is a one-line error."""
    folder = pickle_weights(Path(shutil.copytree(encoder, tmp_path / "encoder")))
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(EncoderError, match=r"pytorch_model\.bin") as caught:
        load_model(EncoderArguments(model_name_or_path=str(folder)), LABELS["single_label"], "single_label")
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_part_of_the_fingerprint(encoder: Path, tmp_path: Path) -> None:
    """A training does not resume with another `pytorch_model.bin`."""
    folder = pickle_weights(Path(shutil.copytree(encoder, tmp_path / "encoder")))
    before = fingerprint(EncoderArguments(model_name_or_path=str(folder)))
    torch.save({}, folder / "pytorch_model.bin")
    assert fingerprint(EncoderArguments(model_name_or_path=str(folder))) != before
