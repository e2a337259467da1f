"""The report and the model card: what they say, and what they must not."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from training.data.dataset import LabelledData, Split
from training.decisions.metrics import TITLES
from training.decisions.temperature import Bin
from training.evaluation.classification import most_confused
from training.evaluation.comparison import Comparison, Lead
from training.evaluation.figures import Evaluation, LabelFigures
from training.evaluation.intervals import Interval
from training.output.report import _worst_first, draw, verdict
from training.reporting.markdown import plain
from training.reporting.plots import confusion_matrix, learning_curves, precision_recall, reliability

from ..runs import WORDS, easy_rows, train, write_rows

pytestmark = pytest.mark.slow

SECRET = "Zebediah"
PARTS = (("train", 0, 80), ("validation", 80, 101), ("test", 100, 120))


def test_files(trained: Path) -> None:
    """The Markdown report has plots in files beside it, and the HTML page embeds them."""
    text, page = (trained / "report.md").read_text("utf-8"), (trained / "report.html").read_text("utf-8")
    images = re.findall(r"\]\((report/[^)]+)\)", text)
    names = ["learning_curves", "confusion_matrix", "coverage", "reliability"]
    assert images == [f"report/{name}.svg" for name in names]
    assert all("<svg" in (trained / image).read_text("utf-8") for image in images)
    assert page.count("<svg") == page.count("</svg>") == len(images)
    assert not re.search(r"(src|href)=\"(?!data:,|#)", page)
    assert page.count("<table>") + 1 == text.count("\n|---")  # the cards are a table in Markdown


def test_figures_are_the_records(trained: Path) -> None:
    """The rows of splits and baselines have the metrics of training.json."""
    record = json.loads((trained / "training.json").read_text())
    text = (trained / "report.md").read_text("utf-8")
    (header,) = re.findall(r"^\| split \| (.*) \|$", text, re.MULTILINE)
    names = [name for title in header.split(" | ") for name, shown in TITLES.items() if shown == title]
    rows = record["metrics"] | {f"{name}, test": found["test"] for name, found in record["baselines"].items()}
    assert len(rows) == 3 + 4
    for split, figures in rows.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {split} |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        assert cells == [f"{figures[name]:.4f}" if name in figures else "" for name in names]


def test_abstaining_is_reported(trained: Path) -> None:
    """The report has coverage and precision with abstaining."""
    text = flat(trained)
    assert re.search(r"this gives a coverage of [\d.]+ % and a precision of [\d.]+ %", text)
    level = json.loads((trained / "training.json").read_text())["decisions"]["abstain_below"]
    assert f"target precision 90 % | abstains below a score of {level:.3f}" in text


def test_level_that_is_not_reached_is_reported(encoder: Path, tmp_path: Path) -> None:
    """The report says so if the target precision is not reached."""
    options = ["--label_columns", "label", "--num_train_epochs", "1", "--target_precision", "0.99"]
    assert train(encoder, doubtful(tmp_path), tmp_path / "out", *options) == 0
    assert "target precision 99 % | not reached on the validation split" in flat(tmp_path / "out")


def test_card_s_example_runs(trained: Path) -> None:
    """The example in the model card runs, also on a text that must be truncated."""
    (example,) = re.findall(r"```python\n(.*?)```", (trained / "README.md").read_text("utf-8"), re.DOTALL)
    example = example.replace("this folder", str(trained)).replace('"a text"', '"late " * 2000')
    names: dict[str, Any] = {}
    exec(example.replace("\npipeline(", "\nfound = pipeline("), names)
    assert {answer["label"] for answer in np.ravel(names["found"])} == set(WORDS)


def flat(folder: Path) -> str:
    """Returns the Markdown report on one line."""
    return " ".join((folder / "report.md").read_text("utf-8").split())


def test_model_card(trained: Path) -> None:
    """Hugging Face reads the model card, which has the test metrics."""
    card = ModelCard.load(trained / "README.md")
    record = json.loads((trained / "training.json").read_text())
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results == {name: round(value, 4) for name, value in record["metrics"]["test"].items()}
    assert card.data.pipeline_tag == "text-classification"


def doubtful(folder: Path) -> Path:
    """Writes rows that cannot be distinguished, with a name in them, a rare label, and texts that are too long."""
    rows = [
        {"text": f"{SECRET} <b>said</b> | {index} {'again ' * (40 if index < 5 else 1)}", "label": "ab"[index * 7 % 2]}
        for index in range(60)
    ]
    rows += [{"text": f"rare {index}", "label": "c|<i>"} for index in range(6)]
    return write_rows(folder / "doubtful.csv", rows)


def test_texts_are_not_shown(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts are neither in the files nor in the log; row numbers and warnings are in the report."""
    output = tmp_path / "out"
    assert train(encoder, doubtful(tmp_path), output, "--label_columns", "label", "--num_train_epochs", "1") == 0
    files = [path for path in output.rglob("*") if path.is_file() and path.suffix in {".md", ".html", ".json"}]
    assert not any(SECRET in path.read_text("utf-8") for path in files if path.name != "tokenizer.json")
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    text = flat(output)
    assert "Labels with fewer than 20 training examples: c\\|\\<i\\>." in text
    assert "Epoch and decision parameters are chosen on only 7 validation rows" in text
    assert re.search(r"\d of \d+ training texts are longer than 32 tokens and were truncated", text)


def test_texts_are_shown_on_request(encoder: Path, tmp_path: Path) -> None:
    """With --show_text, texts are shown with Markdown and HTML escaped, under the row numbers of the file."""
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
    """The report starts with the baseline that beats a model that has learned nothing."""
    data, output = write_rows(tmp_path / "train.csv", easy_rows()), tmp_path / "out"
    arguments = ["--label_columns", "label", "--max_steps", "1", "--learning_rate", "1e-9", "--no_head_start"]
    assert train(encoder, data, output, *arguments, "--baselines") == 0
    first = (output / "report.md").read_text("utf-8").splitlines()[0]
    assert first.startswith("A baseline is better: TF-IDF, ")
    assert "has macro F1 1.0000" in first


METRICS = {"test": {"accuracy": 0.9, "macro_f1": 0.8}}
OWN = "macro F1 0.8000 (95 % interval 0.7000 to 0.9000), accuracy 0.9000"


def said(lead: Lead | None, seeds: dict[int, Any] | None = None) -> str:
    """Returns the verdict on a model with macro-F1 .8 on 100 test rows."""
    split = Split(("a",) * 100, np.zeros(100, np.int64), np.arange(100), ("a",) * 100)
    data = LabelledData("single_label", ("a", "b"), "", (), split, split, split, {})
    evaluation = Evaluation(METRICS, (), (), {}, None, {}, None, None, None, ())
    return verdict(evaluation, Comparison("macro_f1", Interval(0.8, 0.7, 0.9), {}, lead, seeds or {}), data)


def lead(low: float, high: float, rows: int = 100) -> Lead:
    """Returns a lead over a baseline, with its interval."""
    value = (low + high) / 2
    return Lead("x", "words", Interval(0.8 - value, 0.0, 1.0), Interval(value, low, high), rows)


def test_verdict_without_baselines() -> None:
    """The verdict has the main metric with its interval, and the second metric."""
    assert said(None) == f"On 100 test rows: {OWN}."


def test_verdict_on_a_winner() -> None:
    """The verdict on a better model has its lead over the best baseline, with the interval."""
    assert said(lead(0.05, 0.15)) == (
        f"On 100 test rows: {OWN}. The best baseline on the validation split, x (words), has macro F1 0.7000: "
        "a lead of 0.1000 (95 % interval 0.0500 to 0.1500)."
    )


def test_verdict_without_a_winner() -> None:
    """There is no clear winner if the interval of the difference includes zero."""
    first = said(lead(-0.01, 0.05))
    assert first.startswith(f"No clear winner on 100 test rows: this model has {OWN}; the best baseline on the ")
    assert first.endswith(
        "has macro F1 0.7800; the 95 % interval of the difference, -0.0100 to +0.0500, includes zero."
    )


def test_verdict_on_few_rows() -> None:
    """There is no clear winner on fewer than 20 rows."""
    assert said(lead(0.2, 0.4, rows=19)).endswith("has macro F1 0.5000; 19 rows are too few to tell.")


def test_verdict_on_a_baseline_that_wins() -> None:
    """A baseline that is better is named first."""
    assert said(lead(-0.15, -0.05)).startswith("A baseline is better: x (words) has macro F1 0.9000 (")


def test_verdict_on_several_seeds() -> None:
    """Mean and standard deviation over the seeds come last in the verdict."""
    seeds = {seed: {"validation": {"macro_f1": 0.0}, "test": {"macro_f1": 0.8 + seed / 10}} for seed in range(2)}
    assert said(None, seeds) == f"On 100 test rows: {OWN}. Over 2 seeds: macro F1 0.8500 ± 0.0707."


def test_plain_text_in_markdown() -> None:
    """Names and texts are escaped and put on one line."""
    assert plain("a|b\n*c* <script> _d_ $e$") == r"a\|b \*c\* \<script\> \_d\_ \$e\$"


def test_long_texts_are_cut(encoder: Path, tmp_path: Path) -> None:
    """A wrong prediction is shown with the start of its text only."""
    rows = [{"text": f"{index} " + "again " * 20000, "label": "ab"[index * 7 % 2]} for index in range(40)]
    arguments = ["--label_columns", "label", "--num_train_epochs", "1", "--show_text"]
    assert train(encoder, write_rows(tmp_path / "train.csv", rows), tmp_path / "out", *arguments) == 0
    text = (tmp_path / "out/report.md").read_text("utf-8")
    assert "…" in text
    assert len(text) < 20 * 600 + 5000


def test_labels_that_matplotlib_would_hide_or_cannot_draw(encoder: Path, tmp_path: Path) -> None:
    """Labels that matplotlib hides or cannot draw are in the report and the plots."""
    rows = [{"text": f"{index} {'so' if index % 2 else 'no'}", "_hidden": index % 2, "標籤": 1} for index in range(60)]
    columns = ["--label_columns", "_hidden", "標籤", "--num_train_epochs", "1", "--baselines"]
    assert train(encoder, write_rows(tmp_path / "train.csv", rows), tmp_path / "out", *columns) == 0
    assert "| \\_hidden |" in (tmp_path / "out/report.md").read_text("utf-8")
    curves = {"_hidden": np.array([[1.0, 0.5], [0.0, 1.0]])}
    figure = precision_recall(curves, {"_hidden": 0.5})
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [" _hidden"]


def evaluation(**changes: Any) -> Evaluation:
    """Returns a minimal evaluation."""
    reliability = {"as trained": [Bin(3, 0.2, 0.3)], "calibrated": [Bin(3, 0.3, 0.3)]}
    return replace(Evaluation({}, (), (), reliability, None, {}, None, None, None, ()), **changes)


def labels(count: int) -> tuple[LabelFigures, ...]:
    """Returns labels whose F1 falls with their number; the last has no test rows."""
    rows = [{"train": 9, "validation": 1, "test": int(index < count - 1)} for index in range(count)]
    return tuple(LabelFigures(f"label {i}", rows[i], 0.5, 0.5, 1 - i / count, None) for i in range(count))


def test_plots_of_a_multi_label_task() -> None:
    """Multi-label data has precision-recall curves and no confusion matrix; dollar signs in labels are no formulas."""
    curves = {f"la$bel ${index}": np.array([[1.0, 0.5], [0.0, 1.0]]) for index in range(12)}
    history = [{"epoch": 1, "eval_loss": 0.3, "eval_micro_f1": 0.5}, {"epoch": 0.5, "loss": 1.0}]
    figures = draw(evaluation(curves=curves), history)
    assert set(figures) == {"learning_curves", "reliability", "precision_recall"}
    assert sum(len(axes.lines) for axes in figures["precision_recall"][0].axes) == 12
    figures["precision_recall"][0].canvas.draw()


def test_confusion_matrix_of_many_labels() -> None:
    """The confusion matrix of many labels shows those with the most errors, and its title says so."""
    counts = np.diag(np.full(150, 5))
    counts[140, 7] = 9
    axes = confusion_matrix(counts, [f"label {index}" for index in range(150)]).axes[0]
    assert "the 20 of 150 labels with the most errors" in axes.get_title()
    assert {"label 7", "label 140"} <= {tick.get_text() for tick in axes.get_yticklabels()}
    assert len(axes.get_yticks()) == 20
    assert "9" in {text.get_text() for text in axes.texts}


def test_confusion_matrix_of_few_labels() -> None:
    """The confusion matrix of up to 30 labels shows all of them."""
    axes = confusion_matrix(np.diag(np.full(30, 5)), [f"label {index}" for index in range(30)]).axes[0]
    assert len(axes.get_yticks()) == 30


def test_precision_recall_of_many_labels() -> None:
    """The precision-recall curves of many labels are those of the labels with the lowest F1."""
    curves = {f"label {index}": np.array([[1.0, 0.5], [0.0, 1.0]]) for index in range(150)}
    figure = precision_recall(curves, {label.name: label.f1 for label in labels(150)})
    names = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert names == [f"label {index}" for index in range(149, 119, -1)]


def test_learning_curves_fill_their_axes() -> None:
    """The axis of a metric fits its values and does not start at zero."""
    history = [{"epoch": epoch, "eval_accuracy": 0.9 + epoch / 100} for epoch in (0, 1, 2)]
    low, high = learning_curves(history).axes[1].get_ylim()
    assert 0.89 < low < 0.9
    assert 0.92 < high < 0.93


def test_reliability_diagram_counts_rows() -> None:
    """The reliability diagram shows the rows of every bin."""
    upper, lower = reliability({"calibrated": [Bin(3, 0.2, 0.3), Bin(500, 0.9, 0.8)]}).axes
    assert [bar.get_height() for bar in lower.patches] == [3, 500]
    assert (upper.get_ylabel(), lower.get_xlabel(), lower.get_ylabel()) == ("accuracy", "confidence", "rows")


def test_most_confused_pairs() -> None:
    """Confused pairs are sorted by rows, then by share; correct predictions are left out."""
    counts = np.array([[9, 1, 0], [4, 0, 0], [0, 1, 1]])
    pairs = most_confused(counts, ("a", "b", "c"))
    assert [(pair.true, pair.predicted, pair.rows) for pair in pairs] == [("b", "a", 4), ("c", "b", 1), ("a", "b", 1)]
    assert [pair.share for pair in pairs] == [1.0, 0.5, 0.1]


def test_labels_with_the_lowest_f1_come_first() -> None:
    """Labels are sorted by F1, and labels without test rows come last."""
    assert [label.name for label in _worst_first(labels(4))] == ["label 2", "label 1", "label 0", "label 3"]


def test_report_of_many_labels(encoder: Path, tmp_path: Path) -> None:
    """The report of many labels lists the most confused pairs, and the labels with the lowest F1 first."""
    rows = [{"text": f"word{index % 35} {index}", "label": f"label {index % 35}"} for index in range(350)]
    arguments = ["--label_columns", "label", "--max_steps", "1", "--learning_rate", "1e-9", "--no_head_start"]
    assert train(encoder, write_rows(tmp_path / "train.csv", rows), tmp_path / "out", *arguments) == 0
    text = (tmp_path / "out/report.md").read_text("utf-8")
    assert "| true label | predicted label | test rows | share of the true label |" in text
    table = text.partition("lowest F1 first")[2].partition("## Most confused labels")[0]
    f1 = [float(row.split("|")[-2]) for row in table.splitlines() if re.match(r"\| label \d", row)]
    assert len(f1) == 35
    assert f1 == sorted(f1)


def test_named_after_the_training_file(encoder: Path, tmp_path: Path) -> None:
    """The report is named after the training file, and row numbers refer to the test file."""
    rows = easy_rows()
    data = write_rows(tmp_path / "notes.csv", rows[:90])
    test = write_rows(tmp_path / "published.csv", [row | {"label": "late"} for row in rows[90:]])
    arguments = ["--label_columns", "label", "--num_train_epochs", "1", "--test_file", str(test)]
    assert train(encoder, data, tmp_path / "out", *arguments) == 0
    text, page = ((tmp_path / f"out/report.{suffix}").read_text("utf-8") for suffix in ("md", "html"))
    assert "# Training report: notes.csv" in text
    assert "<title>Training report: notes.csv</title>" in page
    assert "refer to published.csv, from 1, without" in text


def test_arguments_are_in_the_report(trained: Path) -> None:
    """The report has exactly the arguments that differ from their defaults."""
    section = (trained / "report.md").read_text("utf-8").partition("## Arguments")[2]
    rows = dict(re.findall(r"^\| (\S+) \| (.*) \|$", section.replace("\\_", "_"), re.MULTILINE))
    assert rows["text_columns"] == '\\["text"\\]'
    assert rows["baselines"] == "true"
    assert rows["target_precision"] == "0.9"
    assert rows["learning_rate"] == "0.005"
    assert not {"split_seed", "adam_beta1", "logging_steps", "hub_token", "accelerator_config"} & rows.keys()


def test_removed_rows_are_told_once(encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log and the report each say once why a validation row was removed."""
    rows = easy_rows()
    paths = {name: write_rows(tmp_path / f"{name}.csv", rows[start:end]) for name, start, end in PARTS}
    arguments = ["--label_columns", "label", "--num_train_epochs", "1", "--test_file", str(paths["test"])]
    caplog.set_level("INFO")
    output = tmp_path / "out"
    assert train(encoder, paths["train"], output, *arguments, "--validation_file", str(paths["validation"])) == 0
    sentence = "1 validation row removed: the same text is in the test split."
    assert [record.getMessage() for record in caplog.records].count(sentence) == 1
    assert flat(output).count(sentence) == 1
    assert caplog.text.count("removed: ") == 1
