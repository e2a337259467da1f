"""Training end to end on small random encoders: what the checkpoint folder holds and what the figures mean."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from export.__main__ import main as export
from runtime import load
from training.arguments import DataArguments, EncoderArguments
from training.data.dataset import load_data
from training.data.record import training_data
from training.decisions.learning import Decisions, decide
from training.decisions.metrics import METRICS, quality
from training.errors import EncoderError, TrainingError
from training.model.encoder import load_model, load_tokenizer
from training.model.fine_tuning import _metric
from training.model.inference import predict_logits

from ...models import bert, families, write_checkpoint
from ...shared import SharedFolders
from ..runs import CLEANING, WORDS, easy_rows, train, write_rows

pytestmark = pytest.mark.slow

LABELS = ("benign", "malignant")


@pytest.fixture(scope="module")
def single(encoder: Path, shared: SharedFolders) -> Path:
    """A checkpoint trained on three easy labels, with cleaning steps."""

    def fill(folder: Path) -> None:
        rows = [
            {"text": f"Doctor:  {text} {'so it is ' * (index % 5)}{index}", "label": label}
            for index in range(40)
            for label, text in WORDS.items()
        ]
        data = write_rows(folder / "train.csv", rows)
        cleaning = ("--label_columns", "label", "--cleaning", "nfkc", r"drop:(?i)\bdoctor:", "squeeze_spaces")
        assert train(encoder, data, folder / "checkpoint", *cleaning) == 0

    return shared.make("fine_tuned", fill) / "checkpoint"


def test_checkpoint_is_plain_hugging_face(single: Path) -> None:
    """A checkpoint has weights, tokenizer and a config with labels and task; no pickle, no trainer checkpoint."""
    assert {path.name for path in single.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "report",
        "report.html",
        "report.md",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    config = json.loads((single / "config.json").read_text())
    assert config["id2label"] == {"0": "fine", "1": "late", "2": "loud"}
    assert config["problem_type"] == "single_label_classification"


def test_tokenizer_class_is_one_that_transformers_4_knows(single: Path) -> None:
    """The tokenizer class is one that transformers 4, and Optimum's last release, can load."""
    assert json.loads((single / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_record(single: Path) -> None:
    """training.json has the data, the arguments and the versions of a training."""
    record = json.loads((single / "training.json").read_text())
    assert record["task"] == "single_label"
    assert record["labels"] == ["fine", "late", "loud"]
    assert record["data"]["rows"] == 120
    assert record["data"]["parts"] == {"train": 84, "validation": 12, "test": 24}
    assert len(record["data"]["sha256"]) == 64
    assert record["data_arguments"]["cleaning"] == ["nfkc", r"drop:(?i)\bdoctor:", "squeeze_spaces"]
    assert record["training_arguments"]["learning_rate"] == 5e-3
    assert record["versions"]["torch"]


def test_figures_are_the_models(single: Path) -> None:
    """The test metrics in the record are those of the saved model on the test split."""
    record = json.loads((single / "training.json").read_text())
    data = training_data(str(single))
    model = AutoModelForSequenceClassification.from_pretrained(single).eval()
    inputs = AutoTokenizer.from_pretrained(single)(list(data.test.texts), padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits.numpy()
    figures = quality(decide(logits, data.task, Decisions()), data.test.targets, data.task)
    assert {name: record["metrics"]["test"][name] for name in figures} == pytest.approx(figures)
    assert figures["accuracy"] > 0.9


def test_cleaning_is_the_same_everywhere(single: Path, tmp_path: Path) -> None:
    """Both transformers and the runtime apply the cleaning steps of the checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(single)
    assert tokenizer("DOCTOR:  ﬁne")["input_ids"] == tokenizer("fine")["input_ids"]
    assert export([str(single), str(tmp_path / "artifact")]) == 0
    classifier = load(tmp_path / "artifact", provider="cpu")
    assert classifier.predict("DOCTOR:  ﬁne") == classifier.predict("fine")
    assert classifier.predict("the train was late again").label == "late"


@pytest.mark.parametrize("layout", ["separator", "flags"])
def test_multi_label(encoder: Path, tmp_path: Path, layout: str) -> None:
    """Both layouts train with a sigmoid head and report micro- and macro-F1."""
    rows = []
    for index in range(120):
        late, loud = index % 2, index % 3 == 0
        text = f"{WORDS['late'] if late else ''} {WORDS['loud'] if loud else ''} on day {index}"
        labels = "|".join(["late"] * late + ["loud"] * loud)
        columns = {"labels": labels} if layout == "separator" else {"late": late, "loud": str(bool(loud)).upper()}
        rows.append({"text": text} | columns)
    options = ["labels", "--label_separator", "|"] if layout == "separator" else ["late", "loud"]
    if layout == "flags":
        for row in rows:
            row["late"] = str(bool(row["late"])).upper()
    data = write_rows(tmp_path / "train.csv", rows)
    options += ["--num_train_epochs", "16"]
    assert train(encoder, data, tmp_path / "checkpoint", "--label_columns", *options) == 0
    record = json.loads((tmp_path / "checkpoint/training.json").read_text())
    assert (record["task"], record["labels"]) == ("multi_label", ["late", "loud"])
    assert record["metrics"]["test"]["micro_f1"] > 0.8
    config = json.loads((tmp_path / "checkpoint/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation_internal"])
def test_foreign_code_is_refused(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    """A config that makes transformers run code from elsewhere (CVE-2026-1839) is rejected."""
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: "x--y"}))
    rows = [{"text": f"t {index}", "label": "ab"[index % 2]} for index in range(40)]
    data = write_rows(tmp_path / "train.csv", rows)
    assert train(folder, data, tmp_path / "out", "--label_columns", "label") == 1
    assert f"has {key!r}, which makes transformers run code from elsewhere" in capsys.readouterr().err


def test_foreign_code_that_is_trusted(tmp_path: Path) -> None:
    """A config with remote code is loaded with --trust_remote_code."""
    folder = write_checkpoint(tmp_path / "encoder", bert("single_label"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_attn_implementation_internal": "eager"}))
    arguments = EncoderArguments(model_name_or_path=str(folder), max_length=32, trust_remote_code=True)
    assert load_model(arguments, LABELS, "single_label").new_head


def test_revision_of_a_hub_id(encoder: Path, easy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The given revision is loaded from the hub's cache, and the record has its commit."""
    repository = tmp_path / "hub/models--some--encoder"
    (repository / "refs").mkdir(parents=True)
    for name, commit in (("main", "a" * 40), ("v1", "b" * 40)):
        (repository / "refs" / name).write_text(commit)
        shutil.copytree(encoder, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    options = ["--label_columns", "label", "--revision", "v1", "--num_train_epochs", "1"]
    assert train(Path("some/encoder"), easy, tmp_path / "out", *options) == 0
    record = json.loads((tmp_path / "out/training.json").read_text())
    assert record["base_model"] == {"name": "some/encoder", "revision": "b" * 40}


def test_unknown_encoder(tmp_path: Path) -> None:
    """The message about an encoder that cannot be loaded says what is expected."""
    with pytest.raises(
        EncoderError, match=r"cannot load the encoder .*expected a folder with model\.safetensors or pytorch_model\.bin"
    ):
        load_tokenizer(EncoderArguments(model_name_or_path=str(tmp_path)))


@pytest.mark.parametrize("status", [None, 503])
def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, status: int | None) -> None:
    """An unreachable hub is asked twice in all, and the message says that it cannot be reached."""
    asked = []

    def unreachable(url: str, timeout: float) -> None:
        asked.append((url, timeout))
        if status is not None:
            raise HfHubHTTPError("x", response=SimpleNamespace(status_code=status, headers={}, request=None))
        raise ConnectionError("no name server")

    monkeypatch.setattr("training.model.encoder.get_hf_file_metadata", unreachable)
    monkeypatch.setattr("training.model.encoder.time.sleep", lambda _: None)
    arguments = EncoderArguments(model_name_or_path=f"some/encoder-{status}")
    expected = (
        "no folder has this name, the Hugging Face hub cannot be reached, and its cache does not have the encoder"
    )
    with pytest.raises(EncoderError, match=expected):
        load_tokenizer(arguments)
    with pytest.raises(EncoderError, match=expected):
        load_model(arguments, LABELS, "single_label")
    assert len(asked) == 2
    assert all(timeout <= 10 for _, timeout in asked)


@pytest.mark.parametrize("status", [200, 401, 404])
def test_hub_that_responds(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """If the hub responds, transformers looks for the encoder."""
    loaded: list[dict[str, Any]] = []

    def answer(url: str, timeout: float) -> None:
        if status != 200:
            raise HfHubHTTPError("x", response=SimpleNamespace(status_code=status, headers={}, request=None))

    def load_it(*_: object, **settings: Any) -> None:
        loaded.append(settings)
        raise OSError

    monkeypatch.setattr("training.model.encoder.get_hf_file_metadata", answer)
    monkeypatch.setattr("training.model.encoder.AutoTokenizer.from_pretrained", load_it)
    with pytest.raises(
        EncoderError, match=r"expected a folder with model\.safetensors or pytorch_model\.bin, a reachable hub id"
    ):
        load_tokenizer(EncoderArguments(model_name_or_path=f"some/encoder-{status}", revision="v1"))
    assert loaded == [{"revision": "v1", "trust_remote_code": False, "local_files_only": False}]


def test_unknown_packaged_encoder() -> None:
    """The message about an unknown packaged encoder lists the known ones."""
    with pytest.raises(EncoderError, match="unknown packaged encoder 'packaged:gpt'; expected packaged:minilm"):
        load_tokenizer(EncoderArguments(model_name_or_path="packaged:gpt"))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("drop:(", "expected a regular expression"),
        ("drop:(x)?", "also matches the empty text"),
        ("drop:a*", "also matches the empty text"),
        ("lower", "expected nfkc, squeeze_spaces or drop:REGEX"),
    ],
)
def test_wrong_cleaning_step(step: str, expected: str) -> None:
    """An invalid cleaning step is rejected before the training."""
    with pytest.raises(TrainingError, match=expected):
        load_tokenizer(EncoderArguments(), [step])


def test_published_padding_is_removed() -> None:
    """The padding to 128 tokens in all-MiniLM's tokenizer.json is removed."""
    tokenizer = load_tokenizer(EncoderArguments())
    assert tokenizer.backend_tokenizer.padding is None
    assert len(tokenizer("late")["input_ids"]) == 3


def test_quality_by_hand() -> None:
    """The metrics of a small example are those calculated by hand."""
    targets = np.array([0, 0, 1, 1])
    figures = quality(np.array([0, 1, 1, 1]), targets, "single_label")
    assert figures == pytest.approx({"accuracy": 0.75, "macro_f1": (2 / 3 + 0.8) / 2})
    flags = np.array([[1, 0], [1, 1]], np.float32)
    figures = quality(
        decide(np.array([[0.3, 2.0], [1.0, -1.0]], np.float32), "multi_label", Decisions()), flags, "multi_label"
    )
    assert figures["micro_precision"] == pytest.approx(2 / 3)
    assert figures["micro_recall"] == pytest.approx(2 / 3)
    assert figures["exact_match"] == 0
    assert set(figures) == set(METRICS["multi_label"])


@pytest.mark.parametrize(
    ("asked", "task", "expected"),
    [
        ("auto", "single_label", "macro_f1"),
        ("auto", "multi_label", "micro_f1"),
        ("eval_loss", "single_label", "eval_loss"),
    ],
)
def test_metric_that_picks_the_best_checkpoint(asked: str, task: str, expected: str) -> None:
    """The metric is F1 by default, else the one that is passed."""
    assert _metric(asked, task) == expected


def test_unknown_metric() -> None:
    """The message about an unknown metric lists the known ones."""
    with pytest.raises(TrainingError, match="expected macro_f1, accuracy, loss, found 'auc'"):
        _metric("auc", "single_label")


def test_best_checkpoint_is_kept(encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The saved model is that of the best epoch on the validation split; here one before the training diverges."""
    rows = [{"text": f"{text} {index}", "label": label} for index in range(40) for label, text in WORDS.items()]
    data = write_rows(tmp_path / "train.csv", rows)
    caplog.set_level("INFO")
    diverging = ("--lr_scheduler_type", "constant", "--warmup_steps", "0", "--learning_rate", "0.05", "--bf16", "false")
    losses = []
    for metric in ("loss", "auto"):
        output = tmp_path / metric
        assert (
            train(encoder, data, output, "--label_columns", "label", *diverging, "--metric_for_best_model", metric) == 0
        )
        model = AutoModelForSequenceClassification.from_pretrained(output)
        losses.append(_validation_loss(output, model))
    epochs = [float(value) for value in re.findall(r"validation loss ([\d.]+)", caplog.text)][:8]
    assert min(epochs) < 0.9 * epochs[-1]
    assert losses[0] == pytest.approx(min(epochs), rel=0.01)


def _validation_loss(checkpoint: Path, model: Any) -> float:
    """Returns the validation loss of the model without the folded temperature."""
    record = json.loads((checkpoint / "training.json").read_text())
    split = training_data(str(checkpoint)).validation
    logits = predict_logits(model, AutoTokenizer.from_pretrained(checkpoint), split.texts)
    logits *= record["folded_temperature"]
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(split.targets)))


def test_early_stopping(encoder: Path, easy: Path, tmp_path: Path) -> None:
    """Training stops after one evaluation without improvement; here nothing is learned, so it is the second."""
    output = tmp_path / "out"
    still = ("--learning_rate", "1e-12", "--early_stopping_patience", "1", "--num_train_epochs", "9")
    assert train(encoder, easy, output, "--label_columns", "label", *still) == 0
    assert "| epochs, learning rate, batch size | 2, 1e-12, 16 |" in (output / "report.md").read_text("utf-8")


def test_accumulated_batches_are_one(encoder: Path, easy: Path, tmp_path: Path) -> None:
    """Two accumulated batches of 8 rows give the same weights as one batch of 16."""
    weights = []
    exact = [
        "--label_columns",
        "label",
        "--max_steps",
        "3",
        "--bf16",
        "false",
        "--train_sampling_strategy",
        "sequential",
    ]
    for name, batch in (("one", "16"), ("two", "8")):
        steps = ["--per_device_train_batch_size", batch, "--gradient_accumulation_steps", str(16 // int(batch))]
        options = [*steps, "--max_grad_norm", "0", "--optim", "sgd", "--learning_rate", "0.01"]
        assert train(still(encoder, tmp_path / f"encoder-{name}"), easy, tmp_path / name, *exact, *options) == 0
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-3, atol=1e-5)


def still(encoder: Path, folder: Path) -> Path:
    """Returns a copy of an encoder without dropout."""
    shutil.copytree(encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.0}))
    return folder


def test_half_precision_encoder_is_trained_in_fp32(encoder: Path, tmp_path: Path) -> None:
    """An encoder saved in fp16 is trained in fp32."""
    AutoModelForSequenceClassification.from_pretrained(encoder).half().save_pretrained(tmp_path)
    model = load_model(EncoderArguments(model_name_or_path=str(tmp_path), max_length=32), LABELS, "single_label").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_too_long_for_the_encoder(encoder: Path) -> None:
    """A maximum length above the number of positions is rejected before the training, with the valid range."""
    arguments = EncoderArguments(model_name_or_path=str(encoder), max_length=65)
    with pytest.raises(EncoderError, match="--max_length: expected 3 to 64, found 65"):
        load_model(arguments, LABELS, "single_label")


@pytest.mark.parametrize("family", ["roberta", "mpnet"])
def test_positions_start_behind_the_padding(family: str, tmp_path: Path) -> None:
    """An encoder with 50 positions and padding id 1 reads 48 tokens."""
    arguments = EncoderArguments(model_name_or_path=str(write_checkpoint(tmp_path, families()[family])), max_length=49)
    with pytest.raises(EncoderError, match="--max_length: expected 3 to 48, found 49"):
        load_model(arguments, LABELS, "single_label")


def test_cut_weights(encoder: Path, tmp_path: Path) -> None:
    """A truncated weights file is a one-line error."""
    copy = Path(shutil.copytree(encoder, tmp_path / "encoder"))
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(EncoderError, match="cannot load the encoder"):
        load_model(EncoderArguments(model_name_or_path=str(copy)), LABELS, "single_label")


def test_length_without_room_for_a_token(encoder: Path) -> None:
    """A maximum length of two leaves no room beside the special tokens and is rejected."""
    with pytest.raises(EncoderError, match="--max_length: expected 3 or more, found 2"):
        load_tokenizer(EncoderArguments(model_name_or_path=str(encoder), max_length=2))


def test_length_without_room_for_a_third_special_token(encoder: Path, tmp_path: Path) -> None:
    """A maximum length of three is rejected for a tokenizer with three special tokens."""
    copy = Path(shutil.copytree(encoder, tmp_path / "encoder"))
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP] [SEP]", special_tokens=ids)
    tokenizer.save(str(copy / "tokenizer.json"))
    with pytest.raises(EncoderError, match="--max_length: expected 4 or more, found 3"):
        load_tokenizer(EncoderArguments(model_name_or_path=str(copy), max_length=3))


def test_diverged_training_is_an_error(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A training that diverges is an error and leaves no record."""
    rows = [{"text": f"{text} {index}", "label": label} for index in range(20) for label, text in WORDS.items()]
    data = write_rows(tmp_path / "train.csv", rows)
    assert train(encoder, data, tmp_path / "out", "--label_columns", "label", "--learning_rate", "1e30") == 1
    assert "the training diverged" in capsys.readouterr().err
    assert not (tmp_path / "out/training.json").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_invisible_texts(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str) -> None:
    """Texts of zero-width characters only are an error, as in the runtime; a text with a single token is not."""
    invisible = [{"text": "Doctor:" * (n % 2) + "\u200b" * n, "label": "fine"} for n in range(1, 19)]
    rows = [*easy_rows(20)[:56], {"text": "?", "label": "fine"}, *invisible]
    good = [row | {"text": f"and {row['text']}"} for row in easy_rows(20)]
    files = {
        name: str(write_rows(tmp_path / f"{name}.csv", rows if name == split else good)) for name in ("train", "test")
    }
    options = ["--label_columns", "label", "--test_file", files["test"], *CLEANING]
    assert train(encoder, Path(files["train"]), tmp_path / "out", *options) == 1
    columns: dict[str, Any] = {"text_columns": ["text"], "label_columns": ["label"]}
    data = load_data(DataArguments(train_file=files["train"], test_file=files["test"], **columns))
    found = [row + 1 for row in data.splits[split].rows if row > 56]
    assert len(found) > 9
    assert (
        f"error: {len(found)} texts of the {split} split have no character that the encoder reads; the first is row "
        f"{min(found)} of its file; remove them"
    ) in capsys.readouterr().err
