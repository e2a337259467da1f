"""What an attack on jobs found in November 2026: files of others, pipes, damaged records, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime import ArtifactError, RowScorer
from runtime.files.inputs import find_inputs
from runtime.files.records import Layout
from runtime.jobs.job import Stop
from runtime.jobs.output_folder import OutputFolder
from runtime.jobs.part import Job
from runtime.jobs.plan import make_plan
from runtime.jobs.workers import run_in_processes

from .jobs import ROOT, TEXTS, command, lines, predictions, score, write_rows


@pytest.mark.parametrize("option", [[], ["--restart"]])
@pytest.mark.parametrize("name", ["receipts/taxi.pdf", "receipts/part-of-house.pdf", "receipts/receipt-taxi.json"])
def test_receipts_of_somebody_else(artifact: Path, notes: Path, tmp_path: Path, name: str, option: list[str]) -> None:
    """A folder `receipts` with other files is refused, and nothing is written or deleted."""
    out = tmp_path / "out"
    (out / "receipts").mkdir(parents=True)
    (out / name).write_text("mine")
    done = score(artifact, "--input", notes, "--output-dir", out, *option)
    assert done.returncode == 1
    assert f"files that are not of a job, such as {Path(name).name}" in done.stderr
    assert [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()] == [name]


def test_files_that_a_user_adds(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """Files beside the parts stay when a job is resumed or started again."""
    out = tmp_path / "out"
    common = ("--input", notes, "--output-dir", out)
    assert score(artifact, *common).returncode == 0
    names = ("part-summary.xlsx", "draft.tmp", "rejects-reviewed.csv", "stop", "part-000000.bak")
    for name in names:
        (out / name).write_text("mine")
    for option in ([], ["--restart"]):
        assert score(artifact, *common, *option).returncode == 0
        assert all((out / name).read_text() == "mine" for name in names)


@pytest.mark.parametrize("content", ['{"experiment": 5}', "5", "null", "[1]", ""])
@pytest.mark.parametrize("option", [[], ["--restart"]])
def test_run_json_of_another_tool(artifact: Path, notes: Path, tmp_path: Path, content: str, option: list[str]) -> None:
    """A run.json that is not of a job is refused, also with --restart."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(content)
    (out / "part-000000.jsonl").write_text("mine")
    done = score(artifact, "--input", notes, "--output-dir", out, *option)
    assert done.returncode == 1
    assert "files that are not of a job, such as run.json" in done.stderr
    assert (out / "part-000000.jsonl").read_text() == "mine"


def test_input_and_output_in_one_another(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """An input in the output folder is refused before anything is removed, and so is the other way round."""
    out = tmp_path / "out"
    assert score(artifact, "--input", notes, "--output-dir", out).returncode == 0
    inside = write_rows(out / "part-000001.jsonl", TEXTS)
    done = score(artifact, "--input", inside, "--output-dir", out, "--restart")
    assert done.returncode == 1
    assert "is in --output-dir; choose another folder" in done.stderr
    assert inside.exists()
    done = score(artifact, "--input", tmp_path, "--output-dir", tmp_path / "new" / "out")
    assert done.returncode == 1
    assert "--output-dir is in the input folder" in done.stderr


def test_restart_with_an_input_that_cannot_be_read(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """The earlier output stays if the new input turns out to be unreadable."""
    out = tmp_path / "out"
    assert score(artifact, "--input", notes, "--output-dir", out).returncode == 0
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    assert score(artifact, "--input", tmp_path / "bad.parquet", "--output-dir", out, "--restart").returncode == 1
    assert len(predictions(out)) == 6


@pytest.mark.parametrize("kind", ["fifo", "stdin"])
def test_pipes_are_refused(artifact: Path, notes: Path, tmp_path: Path, kind: str) -> None:
    """A job reads its input several times, so a pipe is refused, and does not count as empty."""
    path = Path("/dev/stdin")
    if kind == "fifo":
        path = tmp_path / "fifo.jsonl"
        os.mkfifo(path)
    done = subprocess.run(
        command(artifact, "--input", path, "--input-format", "jsonl", "--output-dir", tmp_path / "out"),
        input=notes.read_bytes(), capture_output=True, cwd=ROOT, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"is not a regular file" in done.stderr


def test_closed_stderr(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A job goes on when nobody reads its messages any more."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        command(artifact, "--input", notes, "--output-dir", tmp_path / "out"), stderr=write_end, cwd=ROOT, check=False
    )
    os.close(write_end)
    assert done.returncode == 0
    assert len(predictions(tmp_path / "out")) == 6


@pytest.mark.parametrize("damage", ["empty", "cut", "receipt beyond", "receipt of another"])
def test_damaged_records(artifact: Path, notes: Path, tmp_path: Path, damage: str) -> None:
    """A damaged plan or receipt is an error, never a smaller job."""
    out = tmp_path / "out"
    common = ("--input", notes, "--output-dir", out, "--rows-per-part", 2)
    assert score(artifact, *common).returncode == 0
    receipts = out / "receipts"
    plan = receipts / "plan.jsonl"
    if damage == "empty":
        plan.write_text("")
    elif damage == "cut":
        plan.write_text(plan.read_text()[:-20])
    elif damage == "receipt beyond":
        (receipts / "receipt-000077.json").write_text(
            (receipts / "receipt-000001.json").read_text().replace("1", "77", 1)
        )
    else:
        (receipts / "receipt-000001.json").write_text((receipts / "receipt-000002.json").read_text())
    done = score(artifact, *common)
    assert done.returncode == 1
    assert "is damaged" in done.stderr or "is not of this plan" in done.stderr
    assert "Traceback" not in done.stderr


def test_everything_in_a_folder_is_read_or_refused(artifact: Path, tmp_path: Path) -> None:
    """Linked folders are read once, and what is neither a file nor a folder is refused."""
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    write_rows(folder / "a" / "1.jsonl", TEXTS[:2])
    (tmp_path / "elsewhere").mkdir()
    write_rows(tmp_path / "elsewhere" / "2.jsonl", TEXTS[2:])
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "loop").symlink_to(folder)
    assert score(artifact, "--input", folder, "--output-dir", tmp_path / "out").returncode == 0
    assert len(predictions(tmp_path / "out")) == 6
    (folder / "3.jsonl").symlink_to(tmp_path / "nowhere")
    done = score(artifact, "--input", folder, "--output-dir", tmp_path / "out2")
    assert done.returncode == 1
    assert "3.jsonl is neither a file nor a folder" in done.stderr


def test_byte_order_mark_that_is_not_there(artifact: Path, tmp_path: Path) -> None:
    """`--encoding utf-8-sig` reads a file without a mark from its first byte."""
    file = tmp_path / "in.csv"
    file.write_text("id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(TEXTS)))
    options = ("--encoding", "utf-8-sig", "--keep", "id", "--rows-per-part", 2)
    assert score(artifact, "--input", file, "--output-dir", tmp_path / "out", *options).returncode == 0
    assert [row["id"] for row in predictions(tmp_path / "out")] == [*"012345"]


def test_another_format_is_another_job(artifact: Path, tmp_path: Path) -> None:
    """A job is not resumed with its input read in another way."""
    file = write_rows(tmp_path / "in.txt", TEXTS)
    common = ("--input", file, "--output-dir", tmp_path / "out")
    assert score(artifact, *common).returncode == 0
    done = score(artifact, *common, "--input-format", "jsonl")
    assert done.returncode == 1
    assert 'input[0].format: "lines", now "jsonl"' in done.stderr


def test_temporary_file_of_a_job_that_was_killed_first(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A folder in which only temporary files of a job are is as good as empty."""
    out = tmp_path / "out"
    (out / "receipts").mkdir(parents=True)
    (out / "run.json.123.tmp").touch()
    (out / "receipts" / "plan.jsonl.123.tmp").touch()
    assert score(artifact, "--input", notes, "--output-dir", out).returncode == 0
    assert not list(out.rglob("*.tmp"))


def test_interrupt_does_not_wait_for_parts(artifact: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the processes of a job at once."""
    file = write_rows(tmp_path / "in.jsonl", [f"{number} {'again ' * 20}" for number in range(200_000)])
    job = subprocess.Popen(
        command(artifact, "--input", file, "--output-dir", tmp_path / "out", "--workers", 2),
        stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/part-*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.monotonic()
    job.send_signal(signal.SIGINT)
    assert job.wait(60) == 130
    assert time.monotonic() - started < 5
    assert not list(tmp_path.glob("out/part-*.jsonl"))


def test_one_file_named_twice(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A file that is named in two ways is scored once."""
    paths = (notes, notes.parent / "." / ".." / notes.parent.name / notes.name)
    done = score(artifact, "--input", *paths, "--output-dir", tmp_path / "out")
    assert done.returncode == 0
    assert len(predictions(tmp_path / "out")) == 6


def test_files_of_one_name(artifact: Path, tmp_path: Path) -> None:
    """Rejects name a file by its path in the folder that all inputs are in."""
    for name in ("x", "y"):
        (tmp_path / "in" / name).mkdir(parents=True)
        write_rows(tmp_path / "in" / name / "notes.jsonl", ["late", ""])
    assert score(artifact, "--input", tmp_path / "in", "--output-dir", tmp_path / "out").returncode == 1
    rejects = lines(tmp_path / "out" / "rejects.jsonl")
    assert [(row["file"], row["row"]) for row in rejects] == [("x/notes.jsonl", 2), ("y/notes.jsonl", 2)]
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [item["name"] for item in run["input"]] == ["x/notes.jsonl", "y/notes.jsonl"]


def test_kept_values_that_json_does_not_have(artifact: Path, tmp_path: Path) -> None:
    """A kept value that is not UTF-8 rejects its row; a type without text is refused for JSON Lines."""
    broken = pa.array([b"ok", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": ["late", "calm"], "id": broken}), tmp_path / "in.parquet")
    options = ("--input", tmp_path / "in.parquet", "--keep", "id")
    assert score(artifact, *options, "--output-dir", tmp_path / "out").returncode == 1
    (reject,) = lines(tmp_path / "out" / "rejects.jsonl")
    assert (reject["row"], reject["reason"]) == (2, "a column to keep is not UTF-8")
    pq.write_table(pa.table({"text": ["late"], "id": pa.array([1], pa.duration("s"))}), tmp_path / "in.parquet")
    done = score(artifact, *options, "--output-dir", tmp_path / "out2")
    assert "has the type duration[s], which only an output in Parquet can keep" in done.stderr


def test_row_scorer_on_bytes_that_are_not_utf8(artifact: Path) -> None:
    """A string of Arrow that is not UTF-8 is an error of its row, also in a dictionary."""
    texts = pa.array([b"late", b"\xff bad", b"calm"]).view(pa.string())
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), texts)
    for column in texts, codes:
        found = RowScorer(artifact)(pa.table({"text": column}))
        assert [bool(error) for error in found.column("error").to_pylist()] == [False, True, False]


@pytest.mark.parametrize("option", [["--output-dir", ""], ["--output-dir", "/"], ["--max-rejects", "9" * 400]])
def test_values_that_end_the_call(artifact: Path, notes: Path, tmp_path: Path, option: list[str]) -> None:
    """Values that would mean the root folder, or no number, end the call with status 2."""
    folder = [] if option[0] == "--output-dir" else ["--output-dir", tmp_path / "out"]
    assert score(artifact, "--input", notes, *folder, *option).returncode == 2


def test_terminated_while_counting(artifact: Path, tmp_path: Path) -> None:
    """SIGTERM while the rows are counted ends the job with the status that asks to resume it."""
    file = tmp_path / "in.jsonl"
    with file.open("w") as stream:
        for number in range(2_000_000):
            stream.write(f'{{"text": "{number}"}}\n')
    job = subprocess.Popen(
        command(artifact, "--input", file, "--output-dir", tmp_path / "out"),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert job.stderr is not None
    assert job.stderr.readline() == "counting the rows\n"
    job.send_signal(signal.SIGTERM)
    assert "start the same command again to resume" in job.communicate(timeout=20)[1]
    assert job.returncode == 75
    assert sys.platform == "win32" or not (tmp_path / "out" / "run.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which only Linux has")
def test_group_is_terminated_while_processes_start(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """SIGTERM to all processes, as systemd sends it, is a request to stop, also before the workers can ignore it."""
    job = subprocess.Popen(
        command(artifact, "--input", notes, "--output-dir", tmp_path / "out", "--workers", 2, "--rows-per-part", 3),
        stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
    while job.poll() is None and len(children.read_text().split()) < 3:  # two workers, and what tracks resources
        time.sleep(0.001)
    os.killpg(job.pid, signal.SIGTERM)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 75, said
    done = score(artifact, "--input", notes, "--output-dir", tmp_path / "out", "--rows-per-part", 3)
    assert (done.returncode, len(predictions(tmp_path / "out"))) == (0, 6)


def test_stopped_restart_says_how_to_resume(artifact: Path, tmp_path: Path) -> None:
    """After --restart, the same command would begin anew."""
    file = write_rows(tmp_path / "in.jsonl", ["late"] * 300_000)
    job = subprocess.Popen(
        command(artifact, "--input", file, "--output-dir", tmp_path / "out", "--restart"),
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert job.stderr is not None
    assert job.stderr.readline() == "counting the rows\n"
    job.send_signal(signal.SIGTERM)
    assert "start the same command again, without --restart, to resume" in job.communicate(timeout=60)[1]
    assert job.returncode == 75


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("plan.jsonl", '"rows": 2', '"rows": 3', "plan.jsonl is damaged or missing"),
        ("plan.jsonl", '"file": 0', '"file": 3', "plan.jsonl is damaged or missing"),
        ("receipt-000001.json", '"rows": 2', '"rows": 3', "receipt-000001.json is damaged"),
        ("receipt-000001.json", '"rejected": 1', '"rejected": "1"', "receipt-000001.json is damaged"),
        ("rejects-000001.jsonl", "row", "col", "rejects-000001.jsonl is not what the job wrote"),
        ("rejects-000001.jsonl", None, None, "rejects-000001.jsonl is not what the job wrote, or missing"),
        ("plan.jsonl", None, None, "plan.jsonl is damaged or missing; pass --restart"),
    ],
)
def test_records_that_were_changed(
    artifact: Path, tmp_path: Path, name: str, old: str | None, new: str | None, message: str
) -> None:
    """A digit of the plan, of a receipt or of the rejects cannot change without an error."""
    file = write_rows(tmp_path / "in.jsonl", ["late", "calm", "", "late"])
    common = ("--input", file, "--output-dir", tmp_path / "out", "--rows-per-part", 2)
    assert score(artifact, *common).returncode == 1
    path = tmp_path / "out" / "receipts" / name
    if old is None or new is None:
        path.unlink()
    else:
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))
    done = score(artifact, *common)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr


def test_text_in_the_place_of_a_file(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A text that was passed behind --input is not repeated."""
    for text in ("Miller denies pain?", "Miller denies pain"):
        done = score(artifact, "--input", notes, text, "--output-dir", tmp_path / "out")
        assert done.returncode in (1, 2)
        assert "Miller" not in done.stderr
    assert "--input: expected a file with the suffix" in done.stderr


def test_artifact_that_is_replaced_before_the_workers_start(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A worker that finds another artifact says so; it does not look like one that was killed."""
    (file,) = find_inputs([str(notes)])
    job = Job(
        artifact=str(artifact),
        sha256="0" * 64,
        engine={"provider": "cpu", "variant": "fp32"},
        options={},
        files=[file],
        layouts=[Layout("jsonl")],
        statuses=[file.storage.status(file.path)],
        keep=[],
        output=OutputFolder(str(tmp_path / "out"), ".jsonl"),
        form="jsonl",
        dedupe=True,
    )
    parts = make_plan(job.files, job.layouts, 3, typed=False)
    with pytest.raises(ArtifactError, match="not the one that was named first"):
        list(run_in_processes(job, parts, allowed=None, on_rows=lambda _: None, stop=Stop(), workers=2))
