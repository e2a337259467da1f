"""The command line `python -m runtime.predict`."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import Classifier
from runtime.predict import main, parse_args, run


def predict(artifact: Path, arguments: list[str], lines: bytes = b"") -> tuple[int, list[dict[str, Any]]]:
    """Returns the number of failures and the rows printed."""
    output = io.StringIO()
    args = parse_args(["--model", str(artifact), "--provider", "cpu", *arguments])
    failures = run(args, io.BytesIO(lines), output)
    return failures, [json.loads(line) for line in output.getvalue().splitlines()]


def test_texts_as_arguments(artifact: Path, classifier: Classifier) -> None:
    """One JSON object per text, in order, with the classifier's answer."""
    failures, rows = predict(artifact, ["late again", "calm"])
    assert failures == 0
    assert [row["index"] for row in rows] == [0, 1]
    expected = classifier.predict("late again")
    assert rows[0]["labels"] == list(expected.labels)
    assert rows[0]["scores"] == pytest.approx(expected.scores, abs=1e-5)
    assert rows[0]["truncated"] is False


def test_lines_on_stdin(artifact: Path) -> None:
    """A byte order mark and carriage returns are not part of a text."""
    _, rows = predict(artifact, [], "late\r\ncalm\n".encode("utf-8-sig"))
    _, plain = predict(artifact, ["late", "calm"])
    assert rows == plain


def test_bad_lines_keep_their_place(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line and one that is not UTF-8 give an error in their place; all others are classified."""
    failures, rows = predict(artifact, [], b"late\n\nit\x92s late\ncalm\n" + b"late\n" * 100)
    assert failures == 2
    assert [row["index"] for row in rows] == list(range(104))
    assert [index for index, row in enumerate(rows) if "error" in row] == [1, 2]
    assert rows[0]["labels"] == rows[103]["labels"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "text 1: it is empty" in errors[0]
    assert "text 2: it is not UTF-8" in errors[1]


def test_output_never_has_the_text(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither on stdout nor on stderr."""
    output = io.StringIO()
    run(parse_args(["--model", str(artifact)]), io.BytesIO(b"Miller denies pain\nMiller \xff\n"), output)
    captured = capsys.readouterr()
    assert "Miller" not in output.getvalue() + captured.out + captured.err


def test_unknown_provider_is_a_wrong_call(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and the known providers."""
    with pytest.raises(SystemExit, match="2"):
        main(["--model", str(artifact), "--provider", "tpu", "late"])
    assert "--provider: expected auto, cpu, cuda" in capsys.readouterr().err


def command(artifact: Path, *arguments: str, lines: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command as a person would."""
    line = [sys.executable, "-m", "runtime.predict", "--model", str(artifact), *arguments]
    return subprocess.run(line, input=lines, capture_output=True, text=True, check=False)


def test_damaged_artifact_is_one_line(artifact: Path, tmp_path: Path) -> None:
    """No stack trace, exit status 1, nothing on stdout."""
    copy = Path(shutil.copytree(artifact, tmp_path / "copy"))
    content = bytearray((copy / "onnx/model.onnx").read_bytes())
    content[1000] ^= 1
    (copy / "onnx/model.onnx").write_bytes(content)
    done = command(copy, "late")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: onnx/model.onnx: its sha256")


def test_failed_text_is_exit_status_one(artifact: Path) -> None:
    """A script notices that something was left out."""
    assert command(artifact, "late", "").returncode == 1
    assert command(artifact, "late").returncode == 0


def test_reader_that_leaves_early(artifact: Path) -> None:
    """`| head -1` ends quietly."""
    line = f"yes 'the train is late' | head -2000 | {sys.executable} -m runtime.predict --model {artifact} | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("redirection", "expected"),
    [
        ("> /dev/full", "error: reading or writing failed: No space left on device\n"),
        (">&-", "error: standard output is"),
    ],
)
def test_output_that_cannot_be_written(artifact: Path, redirection: str, expected: str) -> None:
    """One line, exit status 1, no stack trace."""
    line = f"{sys.executable} -m runtime.predict --model {artifact} late {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1


def test_closed_stderr(artifact: Path) -> None:
    """Its messages are lost, and do not land among the data."""
    line = f"exec {sys.executable} -m runtime.predict --model {artifact} late '' 2>&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [json.loads(row)["index"] for row in done.stdout.splitlines()] == [0, 1]


def test_closed_stdin(artifact: Path) -> None:
    """No texts, no answers, no stack trace."""
    line = f"{sys.executable} -m runtime.predict --model {artifact} <&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_answers_come_as_lines_arrive(artifact: Path) -> None:
    """A program on the other end of the pipe may wait for each answer before it asks again."""
    line = [sys.executable, "-m", "runtime.predict", "--model", str(artifact)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for index in range(3):
            process.stdin.write("late\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["index"] == index
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("size", [10, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_lines_across_chunks(artifact: Path, size: int) -> None:
    """A line that starts in one chunk of input and ends in another is one text."""
    lines = b"x " * (size // 2) + b"\nlate\r\nno end"
    failures, rows = predict(artifact, [], lines)
    assert (failures, len(rows)) == (0, 3)
    assert rows[1:] == [row | {"index": row["index"] + 1} for row in predict(artifact, ["late", "no end"])[1]]


def test_option_that_may_be_a_text(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text that begins with a dash is not repeated in the error; behind -- it is classified."""
    with pytest.raises(SystemExit, match="2"):
        parse_args(["--model", str(artifact), "-Miller"])
    error = capsys.readouterr().err
    assert "put -- in front of texts" in error
    assert "Miller" not in error
    assert predict(artifact, ["--", "-Miller"])[0] == 0


def test_too_many_threads(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call, before anything is loaded."""
    with pytest.raises(SystemExit, match="2"):
        parse_args(["--model", str(artifact), "--threads", "100000"])
    assert "--threads: expected a whole number from 1 to 256, found 100000" in capsys.readouterr().err


def test_a_file_of_empty_lines(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty thousand bad lines are thirty thousand errors, not as many attempts at all the others."""
    failures, rows = predict(artifact, [], b"\n" * 30_000 + "\u200b\n".encode() * 70 + b"late\n")
    assert (failures, len(rows)) == (30_070, 30_071)
    assert "labels" in rows[-1]
    *shown, last = capsys.readouterr().err.splitlines()
    assert len(shown) == 10
    assert last == "error: 30,070 texts could not be classified; their rows have the errors"
