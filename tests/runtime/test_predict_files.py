"""`python -m runtime.predict` with files: input, output, options, explanations and progress."""

import csv
import errno
import fcntl
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import Classifier, Explanation, InputError
from runtime.cli import progress
from runtime.cli.progress import Progress
from runtime.files.atomic_file import atomic_write
from runtime.predict import main, parse_args, run

ROOT = Path(__file__).parents[2]
ROWS = ["late again", "calm", "", "the train was late " * 30, "nobody said why"]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A CSV file with ids, one empty text and one text that is too long."""
    file = tmp_path / "notes.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "note"), *((f"a{index}", text) for index, text in enumerate(ROWS))])
    return file


def predict(artifact: Path, *arguments: object) -> tuple[int, str]:
    """Returns the number of failures and the content of standard output."""
    output = io.StringIO()
    args = parse_args(["--model", str(artifact), "--provider", "cpu", *map(str, arguments)])
    empty = io.BufferedReader(io.BytesIO())  # type: ignore[arg-type]
    return run(args, empty, output), output.getvalue()


def rows_of(content: str) -> list[dict[str, Any]]:
    """Parses JSON Lines."""
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("name", ["notes.csv", "notes.tsv", "notes.jsonl", "notes.NDJSON", "notes.txt", "notes"])
def test_input_formats(artifact: Path, classifier: Classifier, tmp_path: Path, name: str) -> None:
    """The format of an input file follows from its suffix or from `--input-format`."""
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
    """The format of the output file follows from its suffix, and no other file is left."""
    target = tmp_path / "found.csv"
    _, content = predict(artifact, "--input", notes, "--text-column", "note", "--output", target, "--with-text")
    assert content == ""
    with target.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["text"] for row in found] == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.csv", "notes.csv"]


def test_existing_output(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """An existing output file is kept, unless `--overwrite` is passed."""
    target = tmp_path / "found.jsonl"
    target.write_text("precious")
    with pytest.raises(InputError, match="exists; choose another output, or pass --overwrite"):
        predict(artifact, "late", "--output", target)
    assert target.read_text() == "precious"
    predict(artifact, "late", "--output", target, "--overwrite")
    assert len(rows_of(target.read_text())) == 1


def test_input_is_never_the_output(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """An output that is the input under any name is rejected, also with `--overwrite`."""
    before = notes.read_bytes()
    (tmp_path / "link.csv").symlink_to(notes)
    for name in "notes.csv", "link.csv":
        with pytest.raises(InputError, match="both input and output"):
            predict(artifact, "--input", notes, "--text-column", "note", "--output", tmp_path / name, "--overwrite")
    assert notes.read_bytes() == before


def test_two_jobs_on_one_output(artifact: Path, tmp_path: Path) -> None:
    """A second job on an output is rejected while the first writes, and after an interrupted one."""
    target = tmp_path / "found.jsonl"
    (tmp_path / "found.jsonl.part").write_text("unfinished")
    with pytest.raises(InputError, match="left over from an interrupted job; delete it, or pass --overwrite"):
        predict(artifact, "late", "--output", target)
    assert not target.exists()
    with atomic_write(target, overwrite=True) as first:
        first.write("first")
        with pytest.raises(InputError, match="another job is writing"):
            predict(artifact, "late", "--output", target, "--overwrite")
    assert target.read_text() == "first"
    predict(artifact, "late", "--output", target, "--overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]


def test_input_is_never_the_unfinished_output(artifact: Path, notes: Path) -> None:
    """The `.part` file of an interrupted job may be the input, and is then not overwritten."""
    part = notes.rename(notes.with_name("found.jsonl.part"))
    before = part.read_bytes()
    options = ["--input-format", "csv", "--text-column", "note", "--overwrite"]
    with pytest.raises(InputError, match="both input and output"):
        predict(artifact, "--input", part, *options, "--output", part.with_suffix(""))
    assert part.read_bytes() == before


def test_input_on_stdin_is_never_the_output(artifact: Path, notes: Path) -> None:
    """An input file on standard input is recognized as the output, although it has no name there."""
    before = notes.read_bytes()
    line = f"{sys.executable} -m runtime.predict --model {artifact} --input-format csv --text-column note"
    line += f" --output {notes} --overwrite < {notes}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, notes.read_bytes()) == (1, before)
    assert "both input and output" in done.stderr


def test_output_that_is_not_a_regular_file(artifact: Path, tmp_path: Path) -> None:
    """A pipe is never replaced by a file, and a link is followed."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with pytest.raises(InputError, match="not a regular file"):
        predict(artifact, "late", "--output", tmp_path / "pipe.csv", "--overwrite")
    with pytest.raises(InputError, match="is not a file name"):
        predict(artifact, "late", "--output", "/", "--format", "csv")
    predict(artifact, "late", "--output", tmp_path / "link.csv")
    assert (tmp_path / "real.csv").is_file()
    assert (tmp_path / "link.csv").is_symlink()


def test_output_created_meanwhile(tmp_path: Path) -> None:
    """A file that another process creates meanwhile is kept, and the results stay beside it."""
    target = tmp_path / "found.jsonl"
    with (
        pytest.raises(InputError, match="was created by another process while this job ran"),
        atomic_write(target, overwrite=False) as file,
    ):
        file.write("results")
        target.write_text("precious")
    assert target.read_text() == "precious"
    assert (tmp_path / "found.jsonl.part").read_text() == "results"


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results can be written on a file system without locks."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with atomic_write(tmp_path / "found.jsonl", overwrite=False) as file:
        file.write("results")
    assert (tmp_path / "found.jsonl").read_text() == "results"


def test_other_job_that_finishes_before_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a job that finishes between open and lock is not overwritten in place."""
    target = tmp_path / "found.jsonl"
    first = atomic_write(target, overwrite=True)
    first.__enter__().write("first")
    plain = fcntl.flock
    ends = [first]

    def lock(descriptor: int, operation: int) -> None:
        if ends:
            ends.pop().__exit__(None, None, None)
        plain(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    with atomic_write(target, overwrite=True) as second:
        assert target.read_text() == "first"
        second.write("second")
    assert target.read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links, results are renamed, and a file that was created meanwhile is kept."""

    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    target = tmp_path / "found.jsonl"
    with atomic_write(target, overwrite=False) as file:
        file.write("results")
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]
    target.unlink()
    with (
        pytest.raises(InputError, match="was created by another process while this job ran"),
        atomic_write(target, overwrite=False) as file,
    ):
        file.write("results")
        target.write_text("precious")
    assert target.read_text() == "precious"


def test_failed_call_leaves_no_file(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A call that fails before the first row leaves no file, so the corrected call works."""
    options = ["--input", notes, "--output", tmp_path / "found.csv", "--explain", tmp_path / "page.html"]
    with pytest.raises(InputError, match="none of the 2 columns"):
        predict(artifact, *options)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.csv"]
    predict(artifact, *options, "--text-column", "note")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("options", [[], ["--format", "csv"], ["--format", "table", "--explain", "page.html"]])
def test_closed_pipe(artifact: Path, tmp_path: Path, options: list[str]) -> None:
    """The command ends without an error if the reader of its output leaves early, for files as well."""
    (tmp_path / "notes.csv").write_text("text\n" + "it was late\n" * 3000)
    line = f"PYTHONPATH={ROOT} {sys.executable} -m runtime.predict --model {artifact} --input notes.csv"
    line += f" {' '.join(options)} | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.count("\n") == 1
    assert done.stderr in ("", f"the output so far is in {tmp_path}/page.html.part\n")


@pytest.mark.parametrize("trouble", ["2> >(true)", "2> /dev/full", "2>&-"])
def test_unwritable_stderr(artifact: Path, trouble: str) -> None:
    """The rows are written although stderr is closed, full or has no reader."""
    line = f"{sys.executable} -m runtime.predict --model {artifact} late '' calm {trouble}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert [("error" in row) for row in rows_of(done.stdout)] == [False, True, False]
    assert done.returncode == 1


def test_lone_surrogates(artifact: Path, tmp_path: Path) -> None:
    """Lone surrogates in texts are written as escapes; arguments that are not UTF-8 are errors."""
    file = tmp_path / "notes.jsonl"
    file.write_text('{"id": "7", "text": "a \\udfff b"}\n')
    options = ["--input", file, "--id-column", "id", "--with-text", "--explain", tmp_path / "page.html"]
    for name in "found.jsonl", "found.csv":
        assert predict(artifact, *options, "--output", tmp_path / name, "--overwrite")[0] == 0
    (row,) = rows_of((tmp_path / "found.jsonl").read_text())
    assert (row["id"], row["text"]) == ("7", "a \udfff b")
    done = subprocess.run(
        [sys.executable, "-m", "runtime.predict", "--model", artifact, b"caf\xe9", "late"],
        capture_output=True,
        check=False,
    )
    first, second = rows_of(done.stdout.decode())
    assert "not UTF-8" in first["error"]
    assert second["labels"]


def test_explains_what_was_predicted(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The predicted label of the whole text is explained; if there is none, the one with the best score."""
    asked: list[str | None] = []
    plain = Classifier.explain

    def record(self: Classifier, text: str, label: str | None = None) -> Explanation:
        asked.append(label)
        return plain(self, text, label)

    monkeypatch.setattr(Classifier, "explain", record)
    for threshold in 0, 1:
        options = ["--threshold", threshold, "--explain", tmp_path / "page.html", "--overwrite"]
        (row,) = rows_of(predict(artifact, "late " * 100, "--windows", "mean", *options)[1])
        assert asked.pop() == row["explained"] == max(row["scores"], key=row["scores"].__getitem__)


def test_interrupted_job(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted job keeps its rows in the `.part` file and says so."""
    file, target = tmp_path / "notes.csv", tmp_path / "found.jsonl"
    file.write_text("text\n" + "late\n" * 500 + '"never closed', "utf-16")
    with pytest.raises(InputError, match="never closed"):
        predict(artifact, "--input", file, "--output", target)
    assert not target.exists()
    assert len(rows_of((tmp_path / "found.jsonl.part").read_text())) == 500
    assert f"the output so far is in {target}.part" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere.csv", "cannot read .*nowhere.csv: No such file"),
        (lambda folder: folder, "there are no files"),
    ],
)
def test_input_that_cannot_be_read(artifact: Path, tmp_path: Path, make: Any, message: str) -> None:
    """An input that cannot be read is an error with the reason."""
    with pytest.raises(InputError, match=message):
        predict(artifact, "--input", make(tmp_path), "--input-format", "csv")


def test_output_that_cannot_be_created(artifact: Path, tmp_path: Path) -> None:
    """An output that cannot be created is an error with the reason."""
    with pytest.raises(InputError, match=r"cannot write .*: (No such file|Not a directory)"):
        predict(artifact, "late", "--output", tmp_path / "nowhere/found.csv")


def test_options_reach_the_classifier(artifact: Path, multi_label_artifact: Path) -> None:
    """`--top-k`, `--threshold` and `--windows` have the effects of the library's options."""
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
    """`--info` prints the classifier's `info` as JSON."""
    found = json.loads(predict(artifact, "--info", "--threads", 1)[1])
    assert found == classifier.info()


def test_explanations(artifact: Path, classifier: Classifier, tmp_path: Path) -> None:
    """Rows have the positions and contributions of words; only the page has the texts."""
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
    assert html.endswith("</main>\n</body>\n</html>\n")


def test_label_to_explain(artifact: Path, tmp_path: Path) -> None:
    """`--explain-label` takes any of the artifact's labels and no other."""
    (row,) = rows_of(predict(artifact, "late", "--explain", tmp_path / "page.html", "--explain-label", "sad")[1])
    assert row["explained"] == "sad"
    assert main(["--model", str(artifact), "late", "--explain", str(tmp_path / "x.html"), "--explain-label", "x"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["late", "--input", "x.csv"], "either texts or --input"),
        (["--input", "x.xlsx"], "--input: expected a file with the suffix .csv"),
        (["--input", "x.txt", "--id-column", "id"], "only CSV, TSV, JSON Lines and Parquet have columns"),
        (["late", "--output", "x.xlsx"], "--output: expected a file with the suffix .csv"),
        (["late", "--explain", "Miller has pain"], "--explain: expected the name of the page"),
        (["late", "--explain", "x.html", "--output", "./x.html", "--format", "csv"], "expected two files"),
        (["late", "--delimiter", "ab"], "--delimiter: expected one character"),
        (["late", "--top-k", "it's Miller"], "argument --top-k: invalid int value"),
        (["late", "--provider", "it's Miller"], "--provider: expected auto, cpu, cuda"),
        (["late", "--explain", "x.html", "--output", "x.html.part", "--format", "csv"], "expected two files"),
        (["late", "--batch-tokens", "99999999"], "--batch-tokens: expected a whole number from 1 to 1048576"),
        (["late", "--top-k", "Miller"], "argument --top-k: invalid int value"),
        (["-hurts, says Miller"], "-h/--help"),
        (["--t=Miller"], "unknown option"),
        (["late", "--top-k", "0"], "--top-k: expected a whole number of 1 or more"),
        (["late", "--threshold", "nan"], "--threshold: expected a number from 0 to 1"),
        (["late", "--batch-tokens", "-1"], "--batch-tokens: expected a whole number"),
        (["late", "--explain-label", "x"], "--explain-label needs --explain"),
    ],
)
def test_wrong_calls(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call ends with status 2 before anything is loaded, and its message repeats no value."""
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "nowhere", *arguments])
    error = capsys.readouterr().err
    assert message in error
    assert "Miller" not in error


def test_quiet(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--quiet` prints nothing on stderr; exit status and rows report the errors."""
    failures, content = predict(artifact, "late", "", "--quiet")
    assert failures == 1
    assert "error" in rows_of(content)[1]
    assert capsys.readouterr().err == ""


def test_table_on_a_terminal(artifact: Path, tmp_path: Path) -> None:
    """A terminal gets a table, with coloured words if requested; a pipe gets JSON Lines."""
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
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """Returns True."""
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress on a terminal is one line that is overwritten, with count, rate and time left."""
    clock = iter([100.0, 100.4, 100.4, 102.0, 102.1, 112.1])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with Progress() as found:
        found.count(0.0125)
        found.count(0.025)
        assert shown.getvalue() == ""
        found.count(0.04)  # the first text of a burst: the rate is that of the text before it
        assert shown.getvalue() == "2 texts, 5.0 a second, 2%, 0:14 left\r"
        found.fail(7, "it is empty")
        assert shown.getvalue().endswith("\r\033[Kerror: text 7: it is empty\n")
        found.count(0.0001)
        found.count(0.0002)
        assert shown.getvalue().endswith("\n4 texts, 1.9 a second, 0%, 5:49:48 left\r")
    assert shown.getvalue().endswith("left\r\033[K")


def test_progress_in_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Progress in a log is a line every 30 seconds, without a time left if the end is unknown."""
    clock = iter([0.0, 20.0, 31.0, 32.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress() as found:
        for _ in range(3):
            found.count()
    assert capsys.readouterr().err == "1 text, 0.1 a second\n"


@pytest.mark.slow
def test_fraction_done(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time left is based on the position of the current text in the file, not on how far it was read ahead."""
    shares: list[float] = []
    plain = Progress.count

    def record(self: Progress, share: float | None = None) -> None:
        assert share is not None
        shares.append(share)
        plain(self, share)

    monkeypatch.setattr(Progress, "count", record)
    file = tmp_path / "notes.csv"
    file.write_text("text\n" + "late again\n" * 100_000)
    predict(artifact, "--input", file, "--output", tmp_path / "found.jsonl")
    assert shares == sorted(shares)
    assert shares[49_999] == pytest.approx(0.5, abs=0.02)
    assert shares[-1] == pytest.approx(1, abs=0.01)


def test_kept_columns(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """`--keep` copies columns, also of rows with errors, and from several inputs."""
    second = tmp_path / "more.jsonl"
    second.write_text(json.dumps({"note": "late", "id": {"a": [1]}}) + "\n")
    options = ("--text-column", "note", "--keep", "id")
    found = rows_of(predict(artifact, "--input", notes, second, *options)[1])
    assert [row["id"] for row in found] == ["a0", "a1", "a2", "a3", "a4", {"a": [1]}]
    assert [row["index"] for row in found] == list(range(6))
    content = predict(artifact, "--input", second, *options, "--format", "csv")[1]
    assert next(csv.DictReader(io.StringIO(content)))["id"] == '{"a": [1]}'


@pytest.mark.parametrize("option", ["--output", "--explain"])
def test_output_that_is_one_of_several_inputs(artifact: Path, notes: Path, tmp_path: Path, option: str) -> None:
    """An output never replaces one of several inputs, or one that is compressed."""
    page = tmp_path / "page.html"
    page.write_text("late\n")
    with pytest.raises(InputError, match=r"page\.html is both input and output"):
        options = ("--input-format", "lines", "--format", "jsonl", "--overwrite")
        predict(artifact, "--input", notes, page, option, page, *options)
    assert page.read_text() == "late\n"
