"""The `evaluate` command from end to end: figures, files, limits and errors."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, classification_report, roc_auc_score

from benchmarks.__main__ import main
from runtime import load

from .files import COLUMNS, evaluate, held_out, write_rows

pytestmark = pytest.mark.slow

SECRET = "Zebediah"


@pytest.fixture(scope="module")
def evaluated(trained: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of an artifact's fp32 variant on its test split."""
    checkpoint, artifact = trained
    folder = tmp_path_factory.mktemp("evaluated")
    data = write_rows(folder / "held_out.csv", held_out(checkpoint))
    assert evaluate(artifact, data, folder / "out", "--variant", "fp32") == 0
    return folder / "out"


def predicted_rows(folder: Path) -> list[dict[str, str]]:
    """Reads `predictions.csv`."""
    return list(csv.DictReader((folder / "predictions.csv").read_text("utf-8").splitlines()))


def test_figures_are_those_of_the_training_report(evaluated: Path, trained: tuple[str, str]) -> None:
    """On the test split, every metric that training reports has the same four digits."""
    training = json.loads((Path(trained[0]) / "training.json").read_text())["metrics"]["test"]
    found = json.loads((evaluated / "evaluation.json").read_text())["metrics"]
    names = set(training) & set(found)
    assert {"accuracy", "macro_f1", "ece", "nll"} <= names
    assert {name: f"{found[name]:.4f}" for name in names} == {name: f"{training[name]:.4f}" for name in names}


def test_figures_are_those_of_scikit_learn(evaluated: Path, trained: tuple[str, str]) -> None:
    """The metrics and those of every label are those that scikit-learn computes from the predictions."""
    record = json.loads((evaluated / "evaluation.json").read_text())
    rows = predicted_rows(evaluated)
    true, predicted = ([row[column] for row in rows] for column in ("label", "label_predicted"))
    expected = classification_report(true, predicted, output_dict=True, zero_division=0)
    assert record["metrics"]["weighted_f1"] == expected["weighted avg"]["f1-score"]
    assert record["metrics"]["macro_precision"] == expected["macro avg"]["precision"]
    for label, figures in record["labels"].items():
        assert (figures["precision"], figures["recall"], figures["f1"], figures["rows"]) == tuple(
            expected[label][name] for name in ("precision", "recall", "f1-score", "support")
        )
    classifier = load(trained[1], provider="cpu", variant="fp32")
    second = classifier.labels[1]
    scores = [prediction.scores[second] for prediction in classifier.predict_many([row["text"] for row in rows])]
    flags = np.array(true) == second
    assert record["metrics"]["roc_auc"] == pytest.approx(roc_auc_score(flags, scores))
    assert record["metrics"]["brier"] == pytest.approx(brier_score_loss(flags, scores))


def test_predictions_keep_the_columns(evaluated: Path, trained: tuple[str, str]) -> None:
    """`predictions.csv` has the rows of the input in order, with all columns, and what the artifact predicts."""
    rows = predicted_rows(evaluated)
    assert list(rows[0]) == ["id", "text", "label", "label_predicted", "prediction_score", "prediction_abstained"]
    kept = [{name: row[name] for name in ("id", "text", "label")} for row in rows]
    assert kept == held_out(trained[0])
    predictions = load(trained[1], provider="cpu", variant="fp32").predict_many([row["text"] for row in rows])
    assert [row["label_predicted"] for row in rows] == [prediction.label for prediction in predictions]


def test_earlier_predictions_are_replaced(evaluated: Path, trained: tuple[str, str], tmp_path: Path) -> None:
    """The predictions of an earlier evaluation can be evaluated; their columns are not repeated."""
    assert evaluate(trained[1], evaluated / "predictions.csv", tmp_path / "out", "--variant", "fp32") == 0
    assert (tmp_path / "out/predictions.csv").read_text("utf-8") == (evaluated / "predictions.csv").read_text("utf-8")


def test_report_contains_no_text(evaluated: Path, trained: tuple[str, str]) -> None:
    """Texts are in `predictions.csv` only."""
    texts = [row["text"] for row in held_out(trained[0])]
    for path in evaluated.rglob("*"):
        if path.is_file() and path.name != "predictions.csv":
            content = path.read_text("utf-8")
            assert not any(text[:40] in content for text in texts), path.name


def test_every_variant_is_compared(evaluated: Path) -> None:
    """The variants for the CPU have their metrics and their agreement with the evaluated one."""
    variants = json.loads((evaluated / "evaluation.json").read_text())["variants"]
    assert list(variants) == ["fp32", "int8"]
    assert variants["fp32"]["agreement"] == 1
    assert 0.9 <= variants["int8"]["agreement"] <= 1
    page = (evaluated / "report.md").read_text("utf-8")
    assert "| metric | fp32 | int8 |" in page
    assert f"| accuracy | {variants['fp32']['metrics']['accuracy']:.4f} |" in page


def test_limits(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A metric below its limit makes the exit status 1 and the first words of the report; others do not."""
    data = write_rows(tmp_path / "rows.csv", held_out(trained[0]))
    assert evaluate(trained[1], data, tmp_path / "out", "--fail-under", "accuracy=0.01", "macro_f1=0") == 0
    assert evaluate(trained[1], data, tmp_path / "out", "--fail-under", "accuracy=0.01", "macro_f1=1") == 1
    first = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Below the limit: macro F1 0.") and "is less than 1." in line for line in first)
    assert (tmp_path / "out/report.md").read_text("utf-8").startswith("Below the limit: macro F1")


def test_comparison_with_another_artifact(trained: tuple[str, str], ragged: tuple[str, str], tmp_path: Path) -> None:
    """An artifact does not differ from itself; one with other labels is refused."""
    data = write_rows(tmp_path / "rows.csv", held_out(trained[0]))
    assert evaluate(trained[1], data, tmp_path / "out", "--baseline", trained[1]) == 0
    found = json.loads((tmp_path / "out/evaluation.json").read_text())["comparison"]
    assert (found["gained"], found["lost"], found["p_value"]) == (0, 0, 1)
    assert found["verdict"] == "no clear difference"
    assert evaluate(trained[1], data, tmp_path / "out", "--baseline", ragged[1]) == 1


def test_rows_with_unknown_labels(trained: tuple[str, str], tmp_path: Path) -> None:
    """Rows whose label the artifact does not know are predicted, counted and left out of the figures."""
    rows = held_out(trained[0])
    rows[3]["label"] = SECRET
    assert evaluate(trained[1], write_rows(tmp_path / "rows.csv", rows), tmp_path / "out") == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert (record["rows"], record["rows_with_unknown_labels"]) == (len(rows) - 1, 1)
    assert any("first is row 4" in warning for warning in record["warnings"])
    assert SECRET not in (tmp_path / "out/report.html").read_text("utf-8")
    assert len((tmp_path / "out/predictions.csv").read_text().splitlines()) == len(rows) + 1


def test_texts_that_belong_to_no_label(trained: tuple[str, str], tmp_path: Path) -> None:
    """Out-of-scope texts give an AUROC and the share that gets no label."""
    data = write_rows(tmp_path / "rows.csv", held_out(trained[0]))
    outside = write_rows(tmp_path / "outside.csv", [{"text": "the cat"}, {"text": "a dog sat"}])
    assert evaluate(trained[1], data, tmp_path / "out", "--out_of_scope", str(outside)) == 0
    found = json.loads((tmp_path / "out/evaluation.json").read_text())["out_of_scope"]
    assert found["rows"] == 2
    assert 0 <= found["auroc"] <= 1
    assert found["abstained"]["value"] == 0


def test_multi_label(multi_label_artifact: Path, tmp_path: Path) -> None:
    """Flag columns and joined labels give the same figures, and the predictions have the layout of the input."""
    labels = load(multi_label_artifact, provider="cpu").labels
    rows = [
        {"text": f"late {n}"} | {label: str((n + place) % 3 % 2) for place, label in enumerate(labels)}
        for n in range(40)
    ]
    joined = [{"text": row["text"], "label": ";".join(label for label in labels if row[label] == "1")} for row in rows]
    flags = write_rows(tmp_path / "flags.csv", rows)
    lists = write_rows(tmp_path / "lists.csv", joined)
    columns = ["--text_columns", "text", "--label_columns", *labels]
    assert evaluate(multi_label_artifact, flags, tmp_path / "flags", columns=columns) == 0
    assert evaluate(multi_label_artifact, lists, tmp_path / "lists", "--label_separator", ";") == 0
    one, other = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("flags", "lists"))
    assert one["metrics"] == other["metrics"]
    assert "exact_match" in one["metrics"]
    predicted = predicted_rows(tmp_path / "flags")
    sets = [row["label_predicted"] for row in predicted_rows(tmp_path / "lists")]
    assert sets == [";".join(label for label in labels if row[f"{label}_predicted"] == "1") for row in predicted]


BAD = {
    "missing column": ("text,section\nlate,benign\n", (), "none of its 2 columns is called 'label'"),
    "no rows": ("text,label\n", (), "has a header and no rows"),
    "empty file": ("", (), "is empty"),
    "only unknown labels": (f"text,label\nlate,{SECRET}\n", (), "no row has a label that the artifact knows"),
    "empty text": (f"text,label\nlate,benign\n ,benign\n{SECRET},benign\n", (), "the first is row 2"),
    "text without tokens": (f"text,label\n{SECRET},benign\n\u200b,benign\n", (), "row 2"),
    "no label": (f"text,label\n{SECRET},\n", (), "row 1 has no label"),
    "ragged row": (f"text,label\nlate,benign,{SECRET}\n", (), "has 3 fields"),
    "unclosed quote": (f'text,label\n"{SECRET},benign\n', (), "is a quote not closed"),
    "unknown slice": ("text,label\nlate,benign\n", ("--slices", "site"), "is called 'site'"),
    "slices of texts": ("text,label\nlate,benign\n", ("--slices", "text"), "a column of texts or labels"),
    "metric of another task": ("text,label\nlate,benign\n", ("--fail-under", "exact_match=0.5"), "use accuracy"),
    "missing file": (None, (), "no file"),
    "output replaces input": ("text,label\nlate,benign\n", ("--data",), "might be replaced"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line(
    kind: str, trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every bad input ends with status 1 and one line that contains no cell."""
    content, options, message = BAD[kind]
    data = tmp_path / "predictions.csv"
    if content is not None:
        data.write_text(content, "utf-8")
    output = tmp_path if options == ("--data",) else tmp_path / "out"
    assert evaluate(trained[1], data, output, *(option for option in options if option != "--data")) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert SECRET not in captured.err + captured.out
    assert not (tmp_path / "out/report.html").exists()


def test_output_in_an_artifact(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An artifact's own folder is refused: with other files in it, it could not be loaded any more."""
    data = write_rows(tmp_path / "rows.csv", held_out(trained[0])[:5])
    assert evaluate(trained[1], data, Path(trained[1])) == 1
    assert "is an artifact" in capsys.readouterr().err


def test_odd_cells_keep_their_row(trained: tuple[str, str], tmp_path: Path) -> None:
    """Carriage returns, line ends, quotes and NUL in cells and in groups cost no row."""
    rows = [row | {"site": "ab"[n % 2] + "\0\x01"} for n, row in enumerate(held_out(trained[0]))]
    for row, odd in zip(rows, ("a\rb", "a\nb", 'a"b', "a\r\nb"), strict=False):
        row["text"] = odd
    data = write_rows(tmp_path / "rows.csv", rows)
    assert evaluate(trained[1], data, tmp_path / "out", "--slices", "site") == 0
    with (tmp_path / "out/predictions.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["text"] for row in found] == [row["text"] for row in rows]


def test_one_class(trained: tuple[str, str], tmp_path: Path) -> None:
    """A file with one class is evaluated; what it does not determine is left out."""
    rows = [row for row in held_out(trained[0]) if row["label"] == "benign"]
    assert evaluate(trained[1], write_rows(tmp_path / "rows.csv", rows), tmp_path / "out") == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert "roc_auc" not in record["metrics"]
    assert record["labels"]["malignant"]["rows"] == 0


def test_large_cell(trained: tuple[str, str], tmp_path: Path) -> None:
    """A cell of 10 MB is truncated like any long text."""
    rows = [*held_out(trained[0])[:30], {"id": "x", "text": "late " * 2_000_000, "label": "benign"}]
    assert evaluate(trained[1], write_rows(tmp_path / "rows.csv", rows), tmp_path / "out") == 0
    warnings = json.loads((tmp_path / "out/evaluation.json").read_text())["warnings"]
    assert any("were truncated" in warning for warning in warnings)


@pytest.mark.parametrize("gate", ["macro_f1", "macro_f1=x", "macro_f1=1.5", "f2=0.5"])
def test_wrong_limit(gate: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that is not METRIC=VALUE is a wrong call."""
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--model", "a", "--data", "b", "--output_dir", "c", *COLUMNS, "--fail-under", gate])
    assert "--fail-under" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["cleanlab", "fairlearn"])
def test_missing_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing package is told before anything is read, in one line with the extra that has it."""
    monkeypatch.setitem(sys.modules, package, None)
    assert evaluate("no artifact", tmp_path / "none.csv", tmp_path / "out", "--slices", "site") == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert package in message
    assert "[cpu,evaluate]" in message


def test_needs_no_pytorch(trained: tuple[str, str], tmp_path: Path) -> None:
    """The command runs where neither PyTorch nor transformers can be imported."""
    data = write_rows(tmp_path / "rows.csv", held_out(trained[0])[:40])
    arguments = [
        "evaluate",
        "--model",
        trained[1],
        "--data",
        str(data),
        "--output_dir",
        str(tmp_path / "out"),
        *COLUMNS,
    ]
    code = (
        "import sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Missing(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name in ('torch', 'transformers', 'optimum', 'datasets', 'onnx'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from benchmarks.__main__ import main\n"
        f"sys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
