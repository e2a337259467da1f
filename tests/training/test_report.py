"""The report and the model card: what they say, and what they must not."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from training.calibration import Bin
from training.data import LabelledData, Part
from training.evaluation import Evaluation
from training.markdown import plain
from training.plots import draw, precision_recall
from training.report import verdict

from .runs import WORDS, easy_rows, train, write_rows

SECRET = "Zebediah"


def test_files(trained: Path) -> None:
    """Markdown with its plots beside it; a page that needs nothing else."""
    text, page = (trained / "report.md").read_text("utf-8"), (trained / "report.html").read_text("utf-8")
    images = re.findall(r"\]\((report/[^)]+)\)", text)
    assert images == ["report/learning_curves.png", "report/confusion_matrix.png", "report/reliability.png"]
    assert all((trained / image).read_bytes().startswith(b"\x89PNG") for image in images)
    assert page.count('src="data:image/png;base64,') == len(images)
    assert 'src="report/' not in page
    assert page.count("<table>") == text.count("\n|---")


def test_figures_are_the_records(trained: Path) -> None:
    """Each part's row and each baseline's has the figures of training.json."""
    record = json.loads((trained / "training.json").read_text())
    text = (trained / "report.md").read_text("utf-8")
    (header,) = re.findall(r"^\| part \| (.*) \|$", text, re.MULTILINE)
    names = header.split(" | ")
    rows = record["metrics"] | {f"{name}, test": figures for name, figures in record["baselines"].items()}
    assert len(rows) == 3 + 4
    for part, figures in rows.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {part} |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        assert cells == [f"{figures[name]:.4f}" if name in figures else "" for name in names]


def test_abstaining_is_reported(trained: Path) -> None:
    """How many rows still get a label, and how many of those are right."""
    text = flat(trained)
    assert re.search(r"of the test rows get a label, and [\d.]+ % of those labels are right", text)
    level = json.loads((trained / "training.json").read_text())["decisions"]["abstain_below"]
    assert f"labels that are right 90 % of the time | scores from {level:.3f} on" in text


def test_level_that_is_not_reached_is_reported(encoder: Path, tmp_path: Path) -> None:
    """Seven validation rows show nothing."""
    options = ["--label_columns", "label", "--num_train_epochs", "1", "--target_precision", "0.99"]
    assert train(encoder, doubtful(tmp_path), tmp_path / "out", *options) == 0
    assert "99 % of the time | not reached on the validation part" in flat(tmp_path / "out")


def test_card_s_example_runs(trained: Path) -> None:
    """As it stands, on a text that is longer than the model reads."""
    (example,) = re.findall(r"```python\n(.*?)```", (trained / "README.md").read_text("utf-8"), re.DOTALL)
    example = example.replace("this folder", str(trained)).replace('"a text"', '"late " * 2000')
    names: dict[str, Any] = {}
    exec(example.replace("\npipeline(", "\nfound = pipeline("), names)
    assert {answer["label"] for answer in np.ravel(names["found"])} == set(WORDS)


def flat(folder: Path) -> str:
    """The Markdown on one line."""
    return " ".join((folder / "report.md").read_text("utf-8").split())


def test_model_card(trained: Path) -> None:
    """A card that Hugging Face reads, with the test figures."""
    card = ModelCard.load(trained / "README.md")
    record = json.loads((trained / "training.json").read_text())
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results == {name: round(value, 4) for name, value in record["metrics"]["test"].items()}
    assert card.data.pipeline_tag == "text-classification"


def doubtful(folder: Path) -> Path:
    """Rows that cannot be told apart, with a name in them, a rare label, and texts that are too long."""
    rows = [
        {"text": f"{SECRET} <b>said</b> | {index} {'again ' * (40 if index < 5 else 1)}", "label": "ab"[index * 7 % 2]}
        for index in range(60)
    ]
    rows += [{"text": f"rare {index}", "label": "c|<i>"} for index in range(6)]
    return write_rows(folder / "doubtful.csv", rows)


def test_texts_are_not_shown(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the report nor anywhere else in the folder or the log; row numbers are, and warnings."""
    output = tmp_path / "out"
    assert train(encoder, doubtful(tmp_path), output, "--label_columns", "label", "--num_train_epochs", "1") == 0
    files = [path for path in output.rglob("*") if path.is_file() and path.suffix in {".md", ".html", ".json"}]
    assert not any(SECRET in path.read_text("utf-8") for path in files if path.name != "tokenizer.json")
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    text = flat(output)
    assert "Labels with fewer than 20 rows to learn from: c\\|\\<i\\>." in text
    assert "the temperature among it, rests on 7 rows: the validation part" in text
    assert re.search(r"\d of \d+ train texts are longer than 32 tokens; their ends were not read", text)


def test_texts_are_shown_on_request(encoder: Path, tmp_path: Path) -> None:
    """As text: neither Markdown nor HTML of theirs becomes the report's. The rows are those of the file."""
    output, data = tmp_path / "out", doubtful(tmp_path)
    arguments = ["--label_columns", "label", "--num_train_epochs", "1", "--show_text"]
    assert train(encoder, data, output, *arguments) == 0
    lines = [line for line in (output / "report.md").read_text("utf-8").splitlines() if SECRET in line]
    assert lines
    for line in lines:
        row = int(line.split("|")[1])
        assert f"{SECRET} \\<b\\>said\\</b\\> \\| {row - 1} again" in line
    page = (output / "report.html").read_text("utf-8")
    assert f"{SECRET} &lt;b&gt;said&lt;/b&gt; | " in page
    assert "<b>" not in page


def test_baseline_that_wins_is_the_first_line(encoder: Path, tmp_path: Path) -> None:
    """A model that has learned nothing: words decide, one weight update does not."""
    data, output = write_rows(tmp_path / "train.csv", easy_rows()), tmp_path / "out"
    arguments = ["--label_columns", "label", "--max_steps", "1", "--learning_rate", "1e-9", "--no_head_start"]
    assert train(encoder, data, output, *arguments, "--baselines") == 0
    first = (output / "report.md").read_text("utf-8").splitlines()[0]
    assert first.startswith("A baseline wins: TF-IDF, ")
    assert "has macro\\_f1 1.0000" in first


def test_verdict_without_baselines() -> None:
    """Figures alone; with worse baselines it says so."""
    part = Part(("a",), np.array([0]), np.array([0]), ("a",))
    data = LabelledData("single_label", ("a", "b"), "", (), part, part, part, {})
    figures = {"accuracy": 0.9, "macro_f1": 0.8}
    evaluation = Evaluation({"test": figures}, (), (), {}, None, {}, None, None, ())
    assert verdict(evaluation, {}, data) == "On 1 held-out rows: macro_f1 0.8000, accuracy 0.9000."
    worse = {"x": {"accuracy": 0.7, "macro_f1": 0.8}}
    assert verdict(evaluation, worse, data).endswith("; none of 1 baselines is better.")
    better = {"x": {"accuracy": 0.7, "macro_f1": 0.81}}
    assert verdict(evaluation, better, data).startswith("A baseline wins: x has macro_f1 0.8100.")


def test_plain_text_in_markdown() -> None:
    """Names and texts stay what they are, on one line."""
    assert plain("a|b\n*c* <script> _d_") == r"a\|b \*c\* \<script\> \_d\_"


def test_long_texts_are_cut(encoder: Path, tmp_path: Path) -> None:
    """A mistake is understood by its beginning; a report of a megabyte is not."""
    rows = [{"text": f"{index} " + "again " * 20000, "label": "ab"[index * 7 % 2]} for index in range(40)]
    arguments = ["--label_columns", "label", "--num_train_epochs", "1", "--show_text"]
    assert train(encoder, write_rows(tmp_path / "train.csv", rows), tmp_path / "out", *arguments) == 0
    text = (tmp_path / "out/report.md").read_text("utf-8")
    assert "…" in text
    assert len(text) < 20 * 600 + 5000


def test_labels_that_matplotlib_would_hide_or_cannot_draw(encoder: Path, tmp_path: Path) -> None:
    """Neither stops a training, and both have their column."""
    rows = [{"text": f"{index} {'so' if index % 2 else 'no'}", "_hidden": index % 2, "標籤": 1} for index in range(60)]
    columns = ["--label_columns", "_hidden", "標籤", "--num_train_epochs", "1", "--baselines"]
    assert train(encoder, write_rows(tmp_path / "train.csv", rows), tmp_path / "out", *columns) == 0
    assert "| \\_hidden |" in (tmp_path / "out/report.md").read_text("utf-8")
    curves = {"_hidden": np.array([[1.0, 0.5], [0.0, 1.0]])}
    figure = precision_recall(curves)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [" _hidden"]


def test_plots_of_a_multi_label_task() -> None:
    """Curves instead of a confusion matrix; dollar signs in names are no formulas."""
    curves = {f"la$bel ${index}": np.array([[1.0, 0.5], [0.0, 1.0]]) for index in range(12)}
    reliability = {"as trained": [Bin(3, 0.2, 0.3)], "calibrated": [Bin(3, 0.3, 0.3)]}
    evaluation = Evaluation({}, (), (), reliability, None, curves, None, None, ())
    figures = draw(evaluation, [{"epoch": 1, "eval_loss": 0.3, "eval_micro_f1": 0.5}, {"epoch": 0.5, "loss": 1.0}])
    assert set(figures) == {"learning_curves.png", "reliability.png", "precision_recall.png"}
    assert sum(len(axes.lines) for axes in figures["precision_recall.png"].axes) == 12
    figures["precision_recall.png"].canvas.draw()
