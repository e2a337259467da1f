"""`python -m runtime.predict` for people: files in and out, options, explanations, progress."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import Classifier, InputError, progress
from runtime.predict import main, parse_args, run
from runtime.progress import Progress

ROWS = ["late again", "calm", "", "the train was late " * 30, "nobody said why"]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A CSV file with ids, one empty text and one that is too long."""
    file = tmp_path / "notes.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "note"), *((f"a{index}", text) for index, text in enumerate(ROWS))])
    return file


def predict(artifact: Path, *arguments: object) -> tuple[int, str]:
    """Returns the number of failures and what went to standard output."""
    output = io.StringIO()
    args = parse_args(["--model", str(artifact), "--provider", "cpu", *map(str, arguments)])
    empty = io.BufferedReader(io.BytesIO())  # type: ignore[arg-type]
    return run(args, empty, output), output.getvalue()


def rows_of(content: str) -> list[dict[str, Any]]:
    """Parses JSON Lines."""
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("name", ["notes.csv", "notes.tsv", "notes.jsonl", "notes.NDJSON", "notes.txt", "notes"])
def test_files_of_every_kind(artifact: Path, classifier: Classifier, tmp_path: Path, name: str) -> None:
    """The suffix says what a file is, or `--input-format`."""
    file = tmp_path / name
    texts = ["late again", "calm"]
    if name.lower().endswith(("jsonl", "ndjson")):
        file.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    else:
        file.write_text("\n".join([*["text"] * ("txt" not in name), *texts]))
    options = ["--input-format", "csv"] if name == "notes" else []
    failures, content = predict(artifact, "--input", file, *options)
    assert failures == 0
    expected = classifier.predict_many(texts)
    assert [row["labels"] for row in rows_of(content)] == [list(item.labels) for item in expected]


def test_ids_and_errors_keep_their_place(artifact: Path, notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row of the input has a row in the output, with its id and without its text."""
    failures, content = predict(artifact, "--input", notes, "--text-column", "note", "--id-column", "id")
    found = rows_of(content)
    assert failures == 1
    assert [row["id"] for row in found] == ["a0", "a1", "a2", "a3", "a4"]
    assert [index for index, row in enumerate(found) if "error" in row] == [2]
    assert [row.get("truncated") for row in found] == [False, False, None, True, False]
    assert "train" not in content
    assert capsys.readouterr().err.startswith("error: text 2: it is empty")


def test_output_file(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """Its suffix says how it is written; nothing goes to standard output, and no other file is left."""
    target = tmp_path / "found.csv"
    _, content = predict(artifact, "--input", notes, "--text-column", "note", "--output", target, "--with-text")
    assert content == ""
    with target.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["text"] for row in found] == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.csv", "notes.csv"]


def test_output_that_exists(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """Is kept, unless it may be replaced."""
    target = tmp_path / "found.jsonl"
    target.write_text("precious")
    with pytest.raises(InputError, match="exists; choose another output, or pass --overwrite"):
        predict(artifact, "late", "--output", target)
    assert target.read_text() == "precious"
    predict(artifact, "late", "--output", target, "--overwrite")
    assert len(rows_of(target.read_text())) == 1


def test_input_is_never_the_output(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """Not even if it may be overwritten, or by another name."""
    before = notes.read_bytes()
    (tmp_path / "link.csv").symlink_to(notes)
    for name in "notes.csv", "link.csv":
        with pytest.raises(InputError, match="both input and output"):
            predict(artifact, "--input", notes, "--text-column", "note", "--output", tmp_path / name, "--overwrite")
    assert notes.read_bytes() == before


def test_two_jobs_on_one_output(artifact: Path, tmp_path: Path) -> None:
    """The second is refused while the first writes, and after it broke off."""
    target = tmp_path / "found.jsonl"
    (tmp_path / "found.jsonl.part").write_text("unfinished")
    with pytest.raises(InputError, match="another job writes it, or left it behind"):
        predict(artifact, "late", "--output", target)
    assert not target.exists()
    predict(artifact, "late", "--output", target, "--overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]


def test_job_that_breaks_off(artifact: Path, tmp_path: Path) -> None:
    """Keeps what it wrote, under a name that says that it is not all."""
    file, target = tmp_path / "notes.csv", tmp_path / "found.jsonl"
    file.write_text("text\n" + "late\n" * 500 + '"never closed')
    with pytest.raises(InputError, match="never closed"):
        predict(artifact, "--input", file, "--output", target)
    assert not target.exists()
    assert len(rows_of((tmp_path / "found.jsonl.part").read_text())) > 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere.csv", "cannot read .*nowhere.csv: No such file"),
        (lambda folder: folder, "Is a directory"),
    ],
)
def test_input_that_cannot_be_read(artifact: Path, tmp_path: Path, make: Any, message: str) -> None:
    """One line says why."""
    with pytest.raises(InputError, match=message):
        predict(artifact, "--input", make(tmp_path), "--input-format", "csv")


def test_output_that_cannot_be_made(artifact: Path, tmp_path: Path) -> None:
    """One line says why."""
    with pytest.raises(InputError, match=r"cannot write .*: (No such file|Not a directory)"):
        predict(artifact, "late", "--output", tmp_path / "nowhere/found.csv")


def test_options_reach_the_classifier(artifact: Path, multi_label_artifact: Path) -> None:
    """top-k, threshold and windows do what they do in the library."""
    (row,) = rows_of(predict(multi_label_artifact, "late", "--threshold", 0, "--top-k", 2)[1])
    assert row["labels"] == list(row["scores"])
    assert len(row["labels"]) == 2
    (row,) = rows_of(predict(artifact, "late", "--threshold", 1)[1])
    assert (row["labels"], row["abstained"]) == ([], True)
    (row,) = rows_of(predict(artifact, "late " * 100, "--windows", "artifact")[1])
    assert row["truncated"] is False
    assert len(row["windows"]) > 2
    assert set(row["windows"][0]) == {"start", "end", "scores"}


def test_info(artifact: Path, classifier: Classifier) -> None:
    """What a bug report needs, without a text."""
    found = json.loads(predict(artifact, "--info", "--threads", 1)[1])
    assert found == classifier.info()


def test_explanations(artifact: Path, classifier: Classifier, tmp_path: Path) -> None:
    """Places and contributions in the rows, the texts on the page alone; a bad text does not end it."""
    page = tmp_path / "page.html"
    failures, content = predict(artifact, "the train was <late>", "", "calm", "--explain", page)
    found = rows_of(content)
    expected = classifier.explain("the train was <late>")
    assert failures == 1
    assert found[0]["explained"] == expected.label
    assert [word[:2] for word in found[0]["words"]] == [[word.start, word.end] for word in expected.words]
    assert "train" not in content
    html = page.read_text("utf-8")
    assert html.count("<article>") == 2
    assert "&lt;late&gt;" in html
    assert html.endswith("</body></html>\n")


def test_label_to_explain(artifact: Path, tmp_path: Path) -> None:
    """Any of the artifact's."""
    (row,) = rows_of(predict(artifact, "late", "--explain", tmp_path / "page.html", "--explain-label", "sad")[1])
    assert row["explained"] == "sad"
    assert main(["--model", str(artifact), "late", "--explain", str(tmp_path / "x.html"), "--explain-label", "x"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["late", "--input", "x.csv"], "either texts or --input"),
        (["--input", "x.parquet"], "unknown suffix; expected .csv"),
        (["late", "--top-k", "0"], "--top-k: expected a whole number of 1 or more"),
        (["late", "--threshold", "nan"], "--threshold: expected a number from 0 to 1"),
        (["late", "--batch-tokens", "-1"], "--batch-tokens: expected a whole number"),
        (["late", "--explain-label", "x"], "--explain-label needs --explain"),
    ],
)
def test_wrong_calls(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, before anything is loaded."""
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "nowhere", *arguments])
    assert message in capsys.readouterr().err


def test_quiet(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stderr; the exit status and the rows tell."""
    failures, content = predict(artifact, "late", "", "--quiet")
    assert failures == 1
    assert "error" in rows_of(content)[1]
    assert capsys.readouterr().err == ""


def test_table_on_a_terminal(artifact: Path, tmp_path: Path) -> None:
    """People get a table, with coloured words if they ask for them; programs get JSON Lines."""
    line = [sys.executable, "-m", "runtime.predict", "--model", str(artifact), "it was late"]
    piped = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    main_end, terminal = pty.openpty()
    explained = [*line, "--explain", str(tmp_path / "page.html")]
    subprocess.run(explained, stdout=terminal, stderr=subprocess.DEVNULL, check=True)
    os.close(terminal)
    shown = os.read(main_end, 10_000).decode()
    os.close(main_end)
    (row,) = rows_of(piped)
    assert shown.split()[:4] == ["index", "label", "score", "flags"]
    assert shown.split()[4:6] == ["0", row["labels"][0]]
    assert "\033[4" in shown


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        """It says so."""
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that is written over: how many, how fast, how long still; errors come between, nothing is left."""
    clock = iter([100.0, 100.1, 102.0, 104.0, 104.1])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", Terminal())
    found = Progress(share=lambda: 0.25)
    found.count()
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    found.count()
    assert sys.stderr.getvalue().strip() == "2 texts, 1.0 a second, 25%, 0:06 left"  # type: ignore[attr-defined]
    found.fail(7, "it is empty")
    found.count()
    assert "\rerror: text 7: it is empty\n" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    found.end()
    assert sys.stderr.getvalue().endswith(f"\r{' ' * 60}\r")  # type: ignore[attr-defined]


def test_progress_in_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line every half minute, no carriage returns; without a known end no time left."""
    clock = iter([0.0, 29.0, 31.0, 32.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    found = Progress()
    for _ in range(3):
        found.count()
    assert capsys.readouterr().err.rstrip() == "2 texts, 0.1 a second"


def test_share_read(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time left of a file comes from how much of it has been read."""
    shares: list[float] = []
    monkeypatch.setattr(progress, "EVERY_LINE_S", 0.0)
    plain = Progress._line

    def record(self: Progress, seconds: float) -> str:
        assert self._share is not None
        shares.append(self._share())
        return plain(self, seconds)

    monkeypatch.setattr(Progress, "_line", record)
    file = tmp_path / "notes.csv"
    file.write_text("text\n" + "late again\n" * 20_000)
    predict(artifact, "--input", file, "--output", tmp_path / "found.jsonl")
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1
