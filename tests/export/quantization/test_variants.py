"""The variants of an export: which are shipped, which are rejected, and on which texts."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from export import __main__ as command
from export.__main__ import main
from export.arguments import parse_args
from export.artifact import decisions
from export.errors import ExportError
from export.graph.layers import linears
from export.quantization import int8_variant, variants
from export.sources import calibration_data
from export.sources.calibration_data import load_splits
from export.sources.checkpoint import open_checkpoint
from export.sources.source import Source
from runtime import load
from runtime.artifact.manifest import Manifest
from runtime.text.tokenizer import Tokenizer
from training.__main__ import main as train
from training.data.dataset import Split
from training.data.record import training_data
from training.errors import DataError

from ...models import bert, write_checkpoint
from ...shared import SharedFolders

pytestmark = pytest.mark.slow

# The last one gives up on sixty; training, which tries it, does not guess what the back reference needs.
CLEANING = ("--cleaning", r"drop:(?i)\bdoctor:", r"drop:(zq)\1(a+)+b$")
TEST_ROWS = 114


@pytest.fixture(scope="module")
def trained(shared: SharedFolders) -> Path:
    """A checkpoint trained for two epochs on the embedded data set with a small encoder."""

    def fill(folder: Path) -> None:
        encoder = write_checkpoint(folder / "encoder", bert("single_label"))
        data = ["--dataset", "wisconsin", "--model_name_or_path", str(encoder), "--max_length", "48", *CLEANING]
        options = ["--num_train_epochs", "2", "--disable_tqdm", "true", "--learning_rate", "1e-2"]
        assert train([*data, *options, "--output_dir", str(folder / "checkpoint")]) == 0

    return shared.make("variants_trained", fill) / "checkpoint"


def manifest(artifact: Path) -> Manifest:
    """Reads an artifact's manifest."""
    return Manifest.from_json((artifact / "litmus.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def shipped(trained: Path, shared: SharedFolders) -> Path:
    """Its artifact with every variant, whatever they cost."""

    def fill(folder: Path) -> None:
        everything = ["--variants", "fp32", "int8", "fp16", "--min-agreement", "0", "--max-metric-drop", "1"]
        assert main([str(trained), str(folder / "artifact"), *everything]) == 0

    return shared.make("variants_shipped", fill) / "artifact"


def test_every_variant_is_shipped(shipped: Path) -> None:
    """Each variant has its providers and figures against fp32 on the test split."""
    found = {variant.name: variant for variant in manifest(shipped).variants}
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    assert {name: set(variant.providers) for name, variant in found.items()} == {
        "fp32": {cpu, cuda},
        "int8": {cpu},
        "fp16": {cuda},
    }
    for name in ("int8", "fp16"):
        quality = found[name].quality
        assert (quality["against"], quality["part"], quality["rows"]) == ("fp32", "test", 114)
        assert quality["metric"] == "accuracy"
        assert set(quality["labels"]) == {"benign", "malignant"}
        assert quality["budget"] == {"max_metric_drop": 1, "min_agreement": 0}
    quantization = found["int8"].quantization
    assert quantization is not None
    assert quantization["method"] == "static"
    assert quantization["calibration_texts"] == 256
    assert quantization["calibration_source"] == "training part"


def test_the_cpu_runs_int8(shipped: Path) -> None:
    """The CPU runs int8 by default and another variant by name."""
    assert load(shipped, provider="cpu").variant == "int8"
    assert load(shipped, provider="cpu", variant="fp32").variant == "fp32"


def test_golden_scores_are_each_variants_own(shipped: Path) -> None:
    """int8 has golden scores of its own, near fp32's."""
    found = {variant.name: variant.golden for variant in manifest(shipped).variants}
    assert found["int8"] != found["fp32"]
    for row, expected in zip(found["int8"], found["fp32"], strict=True):
        assert row == pytest.approx(expected, abs=0.2)


def test_rejected_variant(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejected int8 is not shipped: fp32 is, the exit status is 3, and the message names layers."""
    monkeypatch.setattr(command.QualityGate, "breaches", lambda *_: ["agreement 0.9000 is below 1.0"])
    assert main([str(trained), str(tmp_path / "other"), "--min-agreement", "1"]) == command.REJECTED
    error = capsys.readouterr().err
    assert "rejected by the quality gate: int8: agreement 0.9000 is below 1.0. The most sensitive layers" in error
    assert "by how much keeping each in fp32 lowers the logit error: " in error
    assert "bert.encoder.layer" in error
    assert "Export again with --overwrite --max-fp32-layers 8" in error  # twice the four that the search may leave
    assert [variant.name for variant in manifest(tmp_path / "other").variants] == ["fp32"]
    assert not (tmp_path / "other/onnx/model_int8.onnx").exists()
    assert load(tmp_path / "other", provider="cpu").variant == "fp32"


def test_layers_left_in_fp32_by_name(trained: Path, tmp_path: Path) -> None:
    """Layers named by `--fp32-layers` stay fp32 without a search, and the manifest lists them."""
    names = ["classifier", "bert.encoder.layer.0.output.dense"]
    loose = ["--min-agreement", "0", "--max-metric-drop", "1"]
    assert main([str(trained), str(tmp_path / "artifact"), *loose, "--fp32-layers", *names]) == 0
    int8 = manifest(tmp_path / "artifact").variants[1]
    assert int8.quantization is not None
    assert int8.quantization["fp32_layers"] == sorted(names)
    graph = ir.load(tmp_path / "artifact" / int8.file).graph
    assert {layer.name for layer in linears(graph)} == set(names)


def test_rejected_by_the_test_split(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the test split rejects int8, the advice is `--fp32-layers` with names that the option accepts."""
    monkeypatch.setattr(
        command.QualityGate, "breaches", lambda _, figures: ["too bad"] if figures["rows"] == TEST_ROWS else []
    )
    artifact = str(tmp_path / "artifact")
    assert main([str(trained), artifact]) == command.REJECTED
    (remedy,) = re.findall(r"Export again with (.*)", capsys.readouterr().err)
    names = shlex.split(remedy)[2:]
    assert shlex.split(remedy)[:2] == ["--overwrite", "--fp32-layers"]
    assert len(names) == 5
    assert parse_args([str(trained), artifact, *shlex.split(remedy)]).fp32_layers == names


def test_most_layers_in_fp32(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search keeps at most `--max-fp32-layers` layers in fp32."""
    monkeypatch.setattr(command.QualityGate, "breaches", lambda *_: ["too bad"])
    assert main([str(trained), str(tmp_path / "artifact"), "--max-fp32-layers", "2"]) == command.REJECTED
    error = capsys.readouterr().err
    assert "; 2 layers kept in fp32" in error
    assert "--max-fp32-layers 5" in error


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["pooler.dens"], "no linear layer 'pooler.dens'; similar names: pooler.dense"),
        (["xyz"], "no linear layer 'xyz'; similar names: layer.0.key, layer.0.value, pooler.dense"),
        (["layer.0.key", "pooler.dense", "layer.0.value"], "names all 3 linear layers; use --variants fp32"),
    ],
)
def test_layers_that_cannot_stay_fp32(names: list[str], message: str) -> None:
    """An unknown layer is an error with similar names, and naming all layers is an error, too."""
    with pytest.raises(ExportError, match=re.escape(message)):
        int8_variant._known_layers(names, ["layer.0.key", "layer.0.value", "pooler.dense"])


def test_learned_abstain_level(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The abstention threshold is learned on the validation split; coverage and precision are the test split's."""
    artifact = tmp_path / "artifact"
    assert main([str(trained), str(artifact), "--variants", "fp32", "--target-precision", "0.9"]) == 0
    data, classifier = training_data(str(trained)), load(artifact, provider="cpu")

    def labelled(split: Split) -> list[bool]:
        predictions = classifier.predict_many(split.texts)
        pairs = zip(predictions, split.targets, strict=True)
        return [found.label == data.labels[target] for found, target in pairs if found.label is not None]

    right = labelled(data.validation)
    assert 10 <= len(right) < len(data.validation.texts)
    assert np.mean(right) >= 0.9
    metrics, right = manifest(artifact).metrics, labelled(data.test)
    assert metrics["coverage"] == pytest.approx(len(right) / TEST_ROWS)
    assert metrics["precision"] == pytest.approx(np.mean(right))
    assert f"coverage {metrics['coverage']:.2%}" in capsys.readouterr().err


def test_precision_that_no_score_reaches(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A precision that no score reaches is an error."""
    monkeypatch.setattr(decisions, "learn_abstain_level", lambda *_: None)
    arguments = [str(trained), str(tmp_path / "artifact"), "--variants", "fp32", "--target-precision", "0.99"]
    assert main(arguments) == 1
    assert (
        "--target-precision 0.99: no score reached by at least 10 validation rows has this precision"
        in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_int8_is_judged_with_the_decisions_that_ship(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """int8 is compared with the abstention threshold of the command line, which is in the manifest."""
    seen = []
    original = variants.compare

    def watch(*args: Any, **options: Any) -> Any:
        seen.append(options["decisions"].abstain_below)
        return original(*args, **options)

    monkeypatch.setattr(variants, "compare", watch)
    loose = ["--min-agreement", "0", "--max-metric-drop", "1"]
    assert main([str(trained), str(tmp_path / "artifact"), "--threshold", "0.75", *loose]) == 0
    assert set(seen) == {0.75}
    assert manifest(tmp_path / "artifact").abstain_below == 0.75
    assert "coverage" in manifest(tmp_path / "artifact").metrics


def test_nothing_left_to_ship(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If int8 alone is requested and rejected, nothing is written."""
    monkeypatch.setattr(command.QualityGate, "breaches", lambda *_: ["too bad"])
    assert main([str(trained), str(tmp_path / "artifact"), "--variants", "int8"]) == 1
    assert (
        "every requested variant failed the quality gate; add fp32 to --variants. int8: too bad"
        in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_int8_alone(trained: Path, tmp_path: Path) -> None:
    """An artifact can have int8 alone."""
    loose = ["--min-agreement", "0", "--max-metric-drop", "1"]
    assert main([str(trained), str(tmp_path / "artifact"), "--variants", "int8", *loose]) == 0
    assert [path.name for path in (tmp_path / "artifact/onnx").iterdir()] == ["model_int8.onnx"]
    assert load(tmp_path / "artifact").variant == "int8"


def test_no_text_is_used_twice(trained: Path) -> None:
    """Calibration uses the training split, choices the validation split, and final figures the test split."""
    source = open_checkpoint(str(trained))
    tokenizer = source.runtime_tokenizer()
    found = load_splits(source, tokenizer, None, 64)
    data = training_data(str(trained))

    def ids(texts: tuple[str, ...]) -> list[list[int]]:
        return [encoded.ids.tolist() for encoded in tokenizer.encode_many(texts)]

    assert len(found.calibration) == 64
    assert all(text.ids.tolist() in ids(data.train.texts) for text in found.calibration)
    assert [text.ids.tolist() for text in found.validation.texts] == ids(data.validation.texts)
    assert found.test is not None
    assert [text.ids.tolist() for text in found.test.texts] == ids(data.test.texts)


@pytest.fixture
def unrecorded(checkpoint: Path) -> tuple[Source, Tokenizer]:
    """Returns a checkpoint without a record of its training data, and its tokenizer."""
    source = open_checkpoint(str(checkpoint))
    return source, source.runtime_tokenizer()


def test_calibration_file(unrecorded: tuple[Source, Tokenizer], tmp_path: Path) -> None:
    """At most half of a file's texts calibrate, so that some are left to compare on."""
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(f"parcel number {index} is late" for index in range(10)) + "\n\n")
    found = load_splits(*unrecorded, file, 256)
    assert len(found.calibration) == len(found.validation.texts) == 5
    assert found.test is None
    assert found.validation.targets is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 1_000_001 + b"\ny\n", "texts.txt: line 1 has more than 1000000 characters"),
        (None, "has no record of its training data, and int8 and fp16 need calibration texts: pass --calibration FILE"),
        (b"", "expected at least two distinct texts, one per line; found 0"),
        (b"one text\n" * 9, "expected at least two distinct texts, one per line; found 1"),
        (b"caf\xe9\nna\xefve\n", "is not UTF-8"),
        ("x\n\nx\n\u200b\n".encode(), "texts.txt: line 4: it is empty"),
    ],
)
def test_calibration_file_that_cannot_be_used(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    """An unusable calibration file gives one line of error before anything is exported."""
    arguments = [str(checkpoint), str(tmp_path / "artifact")]
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
        arguments += ["--calibration", str(tmp_path / "texts.txt")]
    capsys.readouterr()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "exporting" not in error
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("kind", ["/dev/zero", "/dev/full", "/dev/urandom", "folder", "pipe"])
def test_calibration_file_without_an_end(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A file that is not regular is rejected instead of read without end."""
    path = Path(kind) if kind.startswith("/") else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    assert main([str(checkpoint), str(tmp_path / "artifact"), "--calibration", str(path)]) == 1
    assert f"error: {path} is not a regular file" in capsys.readouterr().err


def test_huge_calibration_file(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A huge file is rejected without being read whole."""
    with (tmp_path / "texts.txt").open("wb") as file:
        file.truncate(1 << 40)
    arguments = [str(checkpoint), str(tmp_path / "artifact"), "--calibration", str(tmp_path / "texts.txt")]
    assert main(arguments) == 1
    assert "texts.txt has more than 64 MiB" in capsys.readouterr().err


def test_line_ends_of_a_calibration_file(tmp_path: Path) -> None:
    """All three line ends and a byte order mark are read; each text keeps the number of its first line."""
    (tmp_path / "texts.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rone\n\nthree")
    assert calibration_data._lines(tmp_path / "texts.txt") == {"one": 1, "two": 2, "three": 5}


def test_few_texts(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Too few texts give warnings on standard error, in the manifest and in the model card."""
    (tmp_path / "texts.txt").write_text("The train was late.\nThe parcel was broken.\n")
    loose = ["--min-agreement", "0", "--calibration", str(tmp_path / "texts.txt")]
    assert main([str(checkpoint), str(tmp_path / "artifact"), *loose]) == 0
    expected = [
        "calibrated on 1 texts, fewer than 32: other texts may go beyond their ranges",
        "compared with fp32 on 1 texts, fewer than 50: one of them is 100.0%",
    ]
    assert f"warning: int8 was {'; '.join(expected)}" in capsys.readouterr().err
    assert manifest(tmp_path / "artifact").variants[1].quality["warnings"] == expected
    card = (tmp_path / "artifact/README.md").read_text("utf-8")
    assert all(f"\n- int8 was {warning}.\n" in card for warning in expected)


def test_enough_texts(shipped: Path) -> None:
    """With enough texts there is no warning and no heading for warnings."""
    assert "warnings" not in manifest(shipped).variants[1].quality
    assert "Warnings" not in (shipped / "README.md").read_text("utf-8")


def test_calibration_file_beside_a_record(trained: Path, tmp_path: Path) -> None:
    """Texts of the validation and test splits are skipped in a calibration file."""
    source = open_checkpoint(str(trained))
    tokenizer = source.runtime_tokenizer()
    data, file = training_data(str(trained)), tmp_path / "texts.txt"
    shouted = [f"DOCTOR: {text.upper()}" for text in data.test.texts]
    rows = [*data.test.texts, *shouted, *data.validation.texts, "of our own", *data.train.texts]
    file.write_text("\n".join(rows), "utf-8-sig")
    found = load_splits(source, tokenizer, file, 4)
    expected = tokenizer.encode_many(["of our own", *data.train.texts[:3]])
    assert [text.ids.tolist() for text in found.calibration] == [text.ids.tolist() for text in expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Doctor:", "it is empty or has no visible character"),
        (f"zqzq{'a' * 60}c", "the cleaning of training fails on it"),
    ],
)
def test_calibration_line_that_cleaning_does_not_take(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, expected: str
) -> None:
    """A line on which cleaning fails is reported with its file and number."""
    (tmp_path / "texts.txt").write_text(f"one\n\n{line}\n")
    assert main([str(trained), str(tmp_path / "artifact"), "--calibration", str(tmp_path / "texts.txt")]) == 1
    assert f"texts.txt: line 3: {expected}" in capsys.readouterr().err


def test_empty_calibration_file_beside_a_record(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty calibration file is an error even if there are validation and test rows."""
    (tmp_path / "texts.txt").write_text("\n \n")
    assert main([str(trained), str(tmp_path / "artifact"), "--calibration", str(tmp_path / "texts.txt")]) == 1
    assert "texts.txt: expected calibration texts" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"train_file": 5}, {"text_columns": 5}, {"test_size": "a fifth"}])
def test_record_with_other_types(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    """A record with values of a wrong type gives one line of error."""
    copy = Path(shutil.copytree(trained, tmp_path / "checkpoint"))
    record = json.loads((copy / "training.json").read_text())
    if "train_file" not in change:
        change |= {"train_file": str(write_table(tmp_path / "rows.csv"))}
    record["data_arguments"] |= {"dataset": None, "text_columns": ["text"], "label_columns": ["label"]} | change
    (copy / "training.json").write_text(json.dumps(record))
    assert main([str(copy), str(tmp_path / "artifact")]) == 1
    assert "training.json was not written by `python -m training`, or is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["1.0", "20.0", 2, None])
def test_record_of_another_version(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: object
) -> None:
    """A record of another schema version is rejected by export and by training."""
    copy = Path(shutil.copytree(trained, tmp_path / "checkpoint"))
    record = json.loads((copy / "training.json").read_text())
    (copy / "training.json").write_text(json.dumps(record | {"schema_version": version}))
    assert main([str(copy), str(tmp_path / "artifact"), "--variants", "fp32"]) == 1
    assert f"training.json: expected schema_version 2.x, found {version!r}" in capsys.readouterr().err
    with pytest.raises(DataError, match="expected schema_version"):
        training_data(str(copy))


def write_table(path: Path) -> Path:
    """Writes forty labelled rows."""
    path.write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40)))
    return path


def test_training_data_that_changed(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training data that are missing or changed give one line of error."""
    copy = tmp_path / "checkpoint"
    copy.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    record = json.loads((copy / "training.json").read_text())
    record["data"]["sha256"] = "0" * 64
    (copy / "training.json").write_text(json.dumps(record))
    assert main([str(copy), str(tmp_path / "artifact")]) == 1
    assert "cannot read the training data again: the data set of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--variants", "int4"],
        ["--min-agreement", "2"],
        ["--max-metric-drop", "-1"],
        ["--calibration-texts", "0"],
        ["--require-fused", "--portable"],
        ["--max-fp32-layers", "-1"],
        ["--variants", "fp32", "--fp32-layers", "classifier"],
        ["--variants", "fp32", "--max-fp32-layers", "0"],
        ["--target-precision", "0"],
        ["--target-precision", "1.1"],
        ["--target-precision", "nan"],
        ["--target-precision", "0.9", "--threshold", "0.5"],
        ["--threshold", "-0.1"],
        ["--threshold", "x"],
        ["--thresholds", "late"],
        ["--thresholds", "late=2"],
        ["--thresholds", "late=0.1", "late=0.2"],
    ],
)
def test_wrong_calls(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call exits with status 2 and prints the usage."""
    with pytest.raises(SystemExit, match="2"):
        main(["checkpoint", "artifact", *arguments])
    assert "usage: python -m export" in capsys.readouterr().err


def test_seeded_sample(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    """Two exports calibrate on the same rows, and another seed selects other rows."""
    source = open_checkpoint(str(trained))
    take: Callable[[], list[list[int]]] = lambda: [  # noqa: E731
        text.ids.tolist() for text in load_splits(source, source.runtime_tokenizer(), None, 32).calibration
    ]
    first = take()
    assert take() == first
    monkeypatch.setattr(calibration_data, "SEED", 1)
    assert take() != first
