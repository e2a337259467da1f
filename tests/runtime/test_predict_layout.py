"""`python -m runtime.predict` reads the layouts of training, repeats no value, and never writes to its input."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import Classifier
from runtime.cli import command
from runtime.predict import main, parse_args, run
from training.data.table import read_table

SECRET = "Miller denies pain"


def predict(artifact: Path, *arguments: object, stdin: bytes = b"") -> tuple[int, list[dict[str, Any]]]:
    """Returns the number of failures and the rows written."""
    output = io.StringIO()
    args = parse_args(["--model", str(artifact), "--provider", "cpu", *map(str, arguments)])
    failures = run(args, io.BufferedReader(io.BytesIO(stdin)), output)  # type: ignore[arg-type]
    return failures, [json.loads(line) for line in output.getvalue().splitlines()]


def shell(artifact: Path, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of shell in a folder, where `predict` is the command with its model."""
    command = f"{sys.executable} -m runtime.predict --model {artifact}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        ["bash", "-c", f'predict() {{ {command} "$@"; }}; ulimit -f 100; {line}'],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


LAYOUTS: list[tuple[str, bytes, dict[str, Any]]] = [
    (
        "a.tsv",
        b'late "again\t3\tx1\n"calm" all day\t4\tx2\n',
        {"quoting": "false", "column_names": ["text", "n", "id"]},
    ),
    ("a.csv", "text;id\ndéjà;1\n\xa35;2\n".encode("cp1252"), {"encoding": "cp1252", "delimiter": ";"}),
    ("a.csv", b'text\tid\n"a\nb"\t1\nlate\t2\n', {"delimiter": r"\t"}),
    ("a.dat", b"text|id\na|1\n", {"delimiter": "|"}),
    ("a.txt", b"text|id\na|1\n", {"delimiter": "|"}),
    ("a.csv", b'text,id\n"a, b",1\n', {"quoting": "TRUE"}),
    ("a.jsonl", '{"text": "déjà", "id": "1"}'.encode("utf-16"), {"encoding": "cp1252"}),
    ("a.jsonl", '{"text": "déjà", "id": "1"}'.encode("latin-1"), {"encoding": "latin-1"}),
]


@pytest.mark.parametrize(("name", "content", "options"), LAYOUTS)
def test_layouts_of_training(
    artifact: Path, tmp_path: Path, name: str, content: bytes, options: dict[str, Any]
) -> None:
    """The layout options of `python -m training` give the same texts and ids here."""
    (tmp_path / name).write_bytes(content)
    layout = options | ({"quoting": options["quoting"].lower() == "true"} if "quoting" in options else {})
    expected = read_table(str(tmp_path / name), **layout).fields(["text", "id"])
    arguments: list[object] = ["--input", tmp_path / name, "--id-column", "id", "--with-text"]
    for option, value in options.items():
        arguments += [f"--{option.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
    failures, found = predict(artifact, *arguments)
    assert failures == 0
    assert [(row["text"], row["id"]) for row in found] == expected


def test_encoding_of_standard_input(artifact: Path) -> None:
    """`--encoding` applies to standard input, with and without `--input-format`."""
    for options in [], ["--input-format", "lines"]:
        rows = predict(artifact, "--encoding", "cp1252", "--with-text", *options, stdin="déjà\n".encode("cp1252"))[1]
        assert [row["text"] for row in rows] == ["déjà"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text-column", "note", SECRET], "--text-column: only CSV, TSV, JSON Lines and Parquet have columns"),
        ([SECRET, "--text-column", "note"], "leave out --text-column for texts on the command line"),
        (["--input", "x.txt", "--text-column", SECRET], "--text-column: only CSV"),
        (["--input", "x.jsonl", "--column-names", "a", SECRET], "--column-names: only for CSV and TSV"),
        (["--column-names", "a", SECRET], "for standard input add --input-format csv"),
        (["--input", "x.jsonl", "--quoting", "false"], "--quoting: only for CSV and TSV"),
        (["--input", "x.csv", "--quoting", SECRET], "argument --quoting: invalid choice"),
        (["late", "--delimiter", ";"], "--delimiter: only for CSV and TSV"),
        (["--input", "x.csv", "--delimiter", "\0"], "--delimiter: expected one character"),
        (["--input", "x.csv", "--encoding", SECRET], "--encoding: unknown; for example utf-8, utf-16, cp1252"),
        (["--encoding", "rot13"], "--encoding: unknown"),
        (["late", "--encoding", "cp1252"], "--encoding: only for --input and standard input"),
        (["late", "--variant", SECRET], "--variant: expected fp32, int8, fp16"),
    ],
)
def test_wrong_calls(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call ends with status 2 before anything is loaded, and its message repeats no value."""
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "nowhere", *arguments])
    error = capsys.readouterr().err
    assert message in error
    assert "Miller" not in error


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl"])
def test_text_taken_for_a_column(artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """A text after `--text-column` is repeated neither in an error nor in a row."""
    (tmp_path / name).write_text("note,id\nlate,1\n" if name == "notes.csv" else '{"note": "late"}\n')
    options = ["--model", str(artifact), "--input", str(tmp_path / name), "--text-column", "note", SECRET]
    assert main(options) == 1
    captured = capfd.readouterr()
    assert "Miller" not in captured.out + captured.err
    assert "--text-column" in captured.err


def test_variant(int8_artifact: Path) -> None:
    """`--variant` selects the variant that is loaded."""
    for name in "fp32", "int8":
        output = io.StringIO()
        args = parse_args(["--model", str(int8_artifact), "--info", "--provider", "cpu", "--variant", name])
        assert run(args, io.BufferedReader(io.BytesIO()), output) == 0  # type: ignore[arg-type]
        assert json.loads(output.getvalue())["variant"] == name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,text\na\xe4,late\nb,calm\n"),
        ("a.csv", b"id,text\na\xe4,late,1\nb,calm\n"),
        ("a.jsonl", b'{"id": "a\xe4", "text": "late"}\n{"id": "b", "text": "calm"}\n'),
        ("a.jsonl", b'{"id": "\\udce4", "text": "late"}\n{"id": "b", "text": "calm"}\n'),
    ],
)
def test_ids_that_cannot_be_written(artifact: Path, tmp_path: Path, name: str, content: bytes) -> None:
    """An id that is not UTF-8 or has a lone surrogate makes only its row an error."""
    (tmp_path / name).write_bytes(content)
    for form in "jsonl", "csv", "table":
        options = ["--input", str(tmp_path / name), "--id-column", "id", "--format", form]
        output = io.StringIO()
        assert run(parse_args(["--model", str(artifact), *options]), io.BufferedReader(io.BytesIO()), output) == 1  # type: ignore[arg-type]
        output.getvalue().encode()
        assert "error" in output.getvalue()
        assert "udce4" not in output.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "predict < a.txt >> a.txt",
        "predict --input a.txt >> a.txt",
        "predict --input link.txt >> hard.txt",
        "predict --input-format lines < a.txt >> a.txt",
        "predict --input /dev/stdin --input-format lines < a.txt >> a.txt",
        "predict < a.txt 1<> a.txt",
        "predict --input a.txt --output found.jsonl 2>> a.txt",
        "predict < a.txt --output hard.txt --format jsonl --overwrite",
        "predict < a.txt --explain page.html --overwrite",
        "predict late --explain page.html --overwrite >> a.txt",
        "predict late --explain page.html --overwrite >> page.html.part",
    ],
)
def test_input_that_is_also_output(artifact: Path, tmp_path: Path, line: str) -> None:
    """The command never writes to a file that it reads: the file is unchanged and the exit status is 1."""
    (tmp_path / "a.txt").write_text("late\ncalm\n")
    (tmp_path / "link.txt").symlink_to("a.txt")
    for name in "hard.txt", "page.html":
        os.link(tmp_path / "a.txt", tmp_path / name)
    done = shell(artifact, tmp_path, line)
    assert done.returncode == 1
    content = (tmp_path / "a.txt").read_text()
    assert content.removeprefix("late\ncalm\n") in (
        "",
        "error: the input is also standard error; write to another file\n",
    )
    assert "2>>" in line or done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_devices_and_pipes_as_input_and_output(artifact: Path, tmp_path: Path) -> None:
    """The null device and pipes may be both input and output."""
    assert shell(artifact, tmp_path, "predict < /dev/null >> /dev/null").returncode == 0
    assert shell(artifact, tmp_path, "echo late | predict late --output f.jsonl >> f.jsonl.log").returncode == 0


def test_standard_input_is_unused_with_texts(artifact: Path, tmp_path: Path) -> None:
    """Standard input is not read if texts are on the command line, so it may also be the output."""
    (tmp_path / "a.txt").write_text("x\n")
    assert shell(artifact, tmp_path, "predict late < a.txt >> a.txt").returncode == 0
    assert (tmp_path / "a.txt").read_text().count("\n") == 2


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-", "> /dev/full"])
def test_closed_standard_output(artifact: Path, tmp_path: Path, closed: str) -> None:
    """A closed standard output does not matter to a job with `--output`, and nothing else gets into the file."""
    done = shell(artifact, tmp_path, f"predict late --output f.jsonl {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "f.jsonl").read_text())["index"] == 0


def test_info_needs_standard_output(artifact: Path, tmp_path: Path) -> None:
    """`--info` with standard output closed is an error, also with `--output`."""
    for output in "", "--output f.jsonl":
        done = shell(artifact, tmp_path, f"predict --info {output} >&-")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: standard output is closed; there is nowhere to write to\n"


def test_text_that_cannot_be_explained(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that cannot be explained for lack of memory becomes an error; the others are explained."""
    plain = Classifier.explain

    def explain(self: Classifier, text: str, label: str | None = None) -> Any:
        if text == "late":
            raise MemoryError
        return plain(self, text, label)

    monkeypatch.setattr(Classifier, "explain", explain)
    page = tmp_path / "page.html"
    failures, rows = predict(artifact, "late", "calm", "--explain", page, "--with-text")
    assert failures == 1
    assert rows[0] == {"index": 0, "error": rows[0]["error"], "text": ""}
    assert "not enough memory" in rows[0]["error"]
    assert rows[1]["explained"]
    assert page.read_text().count("<article>") == 1


def test_out_of_memory(capfd: pytest.CaptureFixture[str]) -> None:
    """A command without memory ends with status 1 and one line on stderr."""

    def job(_: object) -> int:
        raise MemoryError

    assert command.run_command(job) == 1
    assert capfd.readouterr().err == "error: there is not enough memory; allow the process more\n"
