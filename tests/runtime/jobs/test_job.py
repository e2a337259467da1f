"""Jobs: every row is scored or rejected, in parts that are the same however often the job was interrupted."""

import csv
import gzip
import json
import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime import Classifier, load
from runtime.files.inputs import find_inputs
from runtime.jobs.job import Limit
from runtime.jobs.plan import differences

from .jobs import ROOT, command, lines, parts, predictions, score, write_rows

TEXTS = [f"the train number {number % 7} was late {'again ' * (number % 5)}" for number in range(60)]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON Lines file of 60 texts with ids."""
    return write_rows(tmp_path_factory.mktemp("notes") / "notes.jsonl", TEXTS)


@pytest.fixture(scope="module")
def finished(artifact: Path, notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a job that was not interrupted, in parts of 10 rows."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    assert (
        score(artifact, "--input", notes, "--output-dir", folder, "--keep", "id", "--rows-per-part", 10).returncode == 0
    )
    return folder


def test_output(finished: Path, classifier: Classifier) -> None:
    """Parts have the predictions in order, run.json has the counts, and the temporary files are gone."""
    found = predictions(finished)
    expected = classifier.predict_many(TEXTS)
    assert [row["id"] for row in found] == [row["index"] for row in found] == list(range(len(TEXTS)))
    assert [row["label"] for row in found] == [item.label for item in expected]
    assert [row["scores"] for row in found] == [
        {label: pytest.approx(value, abs=1e-5) for label, value in item.scores.items()} for item in expected
    ]
    run = json.loads((finished / "run.json").read_text())
    counted = {name: run[name] for name in ("state", "rows", "scored", "rejected", "parts")}
    assert counted == {"state": "finished", "rows": 60, "scored": 60, "rejected": 0, "parts": 6}
    assert run["repeated"] == sum(len(TEXTS[at : at + 10]) - len({*TEXTS[at : at + 10]}) for at in range(0, 60, 10))
    assert not [path for path in finished.rglob("*") if path.suffix == ".tmp"]
    assert str(finished.parent) not in (finished / "run.json").read_text()


def test_finished_job_is_not_run_again(artifact: Path, notes: Path, finished: Path) -> None:
    """Running a finished job again changes nothing and says what it was."""
    before = parts(finished)
    again = score(artifact, "--input", notes, "--output-dir", finished, "--keep", "id", "--rows-per-part", 10)
    assert (again.returncode, parts(finished)) == (0, before)
    assert "60 rows = 60 scored + 0 rejected" in again.stderr


def test_repeated_texts(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """Without looking up repeated texts the predictions are the same, to the digits that fp32 in batches allows."""
    common = ("--input", notes, "--rows-per-part", 1000)
    assert score(artifact, *common, "--output-dir", tmp_path / "one").returncode == 0
    assert score(artifact, *common, "--output-dir", tmp_path / "two", "--no-dedupe").returncode == 0
    assert json.loads((tmp_path / "one" / "run.json").read_text())["repeated"] == 60 - len({*TEXTS})
    assert json.loads((tmp_path / "two" / "run.json").read_text())["repeated"] == 0
    for one, two in zip(predictions(tmp_path / "one"), predictions(tmp_path / "two"), strict=True):
        assert one["scores"] == {label: pytest.approx(value, abs=1e-5) for label, value in two["scores"].items()}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".csv.zst", ".jsonl.gz", ".parquet", ".utf16.csv"])
def test_formats(artifact: Path, finished: Path, tmp_path: Path, suffix: str) -> None:
    """Every format, plain or compressed, gives the same rows."""
    file, more = tmp_path / f"notes{suffix}", []
    if suffix == ".parquet":
        pq.write_table(pa.table({"id": range(60), "text": TEXTS}), file, row_group_size=13)
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        content = "".join(f"{at}{delimiter}{text}\n" for at, text in enumerate(TEXTS)).encode()
        content = f"id{delimiter}text\n".encode() + content
        if "jsonl" in suffix:
            content = b"".join(json.dumps({"id": at, "text": text}).encode() + b"\n" for at, text in enumerate(TEXTS))
        if suffix == ".utf16.csv":
            content = content.decode().encode("utf-16")
        if suffix.endswith(".gz"):
            content = gzip.compress(content)
        if suffix.endswith(".zst"):
            content = pa.compress(content, "zstd", asbytes=True)
        file.write_bytes(content)
    done = score(
        artifact, "--input", file, "--output-dir", tmp_path / "out", "--keep", "id", "--rows-per-part", 10, *more
    )
    assert done.returncode == 0, done.stderr
    found = predictions(tmp_path / "out")
    assert [{**row, "id": int(row["id"])} for row in found] == predictions(finished)


def test_folder_of_files(artifact: Path, tmp_path: Path) -> None:
    """A folder is read file by file in the order of the names, and hidden files are left out."""
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    write_rows(folder / "b" / "2.jsonl", TEXTS[5:9])
    (folder / "a.csv").write_text("id,text\n" + "".join(f"{at},{text}\n" for at, text in enumerate(TEXTS[:5])))
    (folder / "_SUCCESS").touch()
    (folder / ".a.csv.crc").write_bytes(b"x")
    assert score(artifact, "--input", folder, "--output-dir", tmp_path / "out").returncode == 0
    found = predictions(tmp_path / "out")
    assert [row["index"] for row in found] == list(range(9))
    assert [item.name for item in find_inputs([str(folder / "**" / "*.jsonl")])] == ["2.jsonl"]
    (folder / "notes.docx").touch()
    refused = score(artifact, "--input", folder, "--output-dir", tmp_path / "out2")
    assert refused.returncode == 1
    assert "notes.docx: expected one of the suffixes" in refused.stderr


def test_csv_output(artifact: Path, notes: Path, finished: Path, tmp_path: Path) -> None:
    """Parts in CSV have a header each, and the same labels."""
    options = ("--keep", "id", "--format", "csv", "--rows-per-part", 25)
    assert score(artifact, "--input", notes, "--output-dir", tmp_path / "out", *options).returncode == 0
    parts_ = sorted((tmp_path / "out").glob("part-*.csv"))
    rows = [row for part in parts_ for row in csv.DictReader(part.read_text("utf-8").splitlines())]
    assert [row["label"] for row in rows] == [row["label"] for row in predictions(finished)]
    assert list(rows[0])[:4] == ["index", "id", "label", "labels"]


def test_parquet_keeps_types(artifact: Path, finished: Path, tmp_path: Path) -> None:
    """Columns of Parquet keep their types in Parquet, row by row, also beside rows that are rejected."""
    texts = [*TEXTS[:30], "", *TEXTS[30:]]
    when = pa.array([1_700_000_000_123_456_789 + row for row in range(61)], pa.timestamp("ns"))
    tags = pa.array([[str(row)] for row in range(61)])
    kind = pa.array(["a", "b", "c"] * 20 + ["a"]).dictionary_encode()
    pq.write_table(pa.table({"text": texts, "when": when, "tags": tags, "kind": kind}), tmp_path / "in.parquet")
    options = ("--keep", "when", "tags", "kind", "--format", "parquet", "--rows-per-part", 20)
    done = score(artifact, "--input", tmp_path / "in.parquet", "--output-dir", tmp_path / "out", *options)
    assert done.returncode == 1, done.stderr  # one row is rejected
    found = pa.concat_tables(pq.read_table(part) for part in sorted((tmp_path / "out").glob("part-*.parquet")))
    good = [row for row in range(61) if texts[row]]
    for name, column in (("when", when), ("tags", tags), ("kind", kind)):
        assert found.schema.field(name).type == column.type
        assert found.column(name).to_pylist() == column.take(good).to_pylist()
    assert found.column("label").to_pylist() == [row["label"] for row in predictions(finished)]
    assert found.column("index").to_pylist() == good
    assert [row["row"] for row in lines(tmp_path / "out" / "rejects.jsonl")] == [31]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"text": [["a"]]}, [], "the column 'text' has the type list"),
        ({"text": [{"a": "b"}]}, [], "the column 'text' has the type struct"),
        ({"text": [1]}, [], "the column 'text' has the type int64"),
        ({"note": ["a"]}, [], "it has no column 'text'"),
        ({"text": ["a"], "x": [["a"]]}, ["--keep", "x"], "which only an output in Parquet can keep"),
    ],
)
def test_wrong_columns_of_parquet(
    artifact: Path, tmp_path: Path, columns: dict[str, list[object]], options: list[str], message: str
) -> None:
    """A column that cannot be used is refused by name before anything is scored."""
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    done = score(artifact, "--input", tmp_path / "in.parquet", "--output-dir", tmp_path / "out", *options)
    assert done.returncode == 1
    assert message in done.stderr


JSON_KINDS = [
    b"not json",
    b'{"text": "cut in the mid',
    b'["a list"]',
    b"3",
    b'"a string"',
    b"null",
    b"{}",
    b'{"text": null}',
    b'{"text": 3}',
    b'{"text": 1e999}',
    b'{"text": NaN}',
    b'{"text": true}',
    b'{"text": ["a"]}',
    b'{"text": {"a": 1}}',
    b'{"Text": "another key"}',
    b'{"text": ""}',
    b'{"text": "  \\t "}',
    b'{"text": "\\u200b\\ufeff"}',
    b'{"text": "\\ud800"}',
    b'{"text": "it\x92s"}',
    b'{"text": "\xc0\xaf"}',
    b'{"text": "\xed\xa0\x80"}',
    b'{"text": "cut \xe2\x82"}',
    b'{"text": "two"} {"text": "objects"}',
    b"{'text': 'single quotes'}",
    b'{"text": "trailing"},',
    b'// {"text": "a comment"}',
    b"<html>",
    b"[" * 150_000,
    b'{"text": "kept", "id": "\\udfff"}',
    b'{"text": "kept", "id": NaN}',
    b'{"text": "control \x01 character"}',
    b"\x1f\x8b\x08gzip",
]
CSV_KINDS = [
    b"1",
    b"1,late,3",
    b'1,"abc" x',
    b'1,"She said "hi", he\nsaid "no"\nand left"',
    b"1,it\x92s",
    b"1,\xed\xa0\x80",
    b"it\x92s,the id",
    b"1,",
    b'1,""',
    b"1,   ",
    b"1,\xe2\x80\x8b",
]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_broken_rows(artifact: Path, tmp_path: Path, form: str) -> None:
    """Among many kinds of broken rows every good one is scored, and each broken one is rejected at its place."""
    file = tmp_path / f"notes.{form}"
    kinds = JSON_KINDS if form == "jsonl" else CSV_KINDS
    good = b'{"id": 7, "text": "the train was late"}' if form == "jsonl" else b"7,the train was late"
    head = b"" if form == "jsonl" else b"id,text\n"
    file.write_bytes(head + b"".join(kind + b"\n" + good + b"\n" for kind in kinds))
    options = ("--keep", "id", "--rows-per-part", 7)
    done = score(artifact, "--input", file, "--output-dir", tmp_path / "out", *options)
    assert done.returncode == 1
    n = len(kinds)
    assert f"{2 * n} rows = {n} scored + {n} rejected" in done.stderr
    assert [row["index"] for row in predictions(tmp_path / "out")] == list(range(1, 2 * n, 2))
    rejects = lines(tmp_path / "out" / "rejects.jsonl")
    assert [row["index"] for row in rejects] == list(range(0, 2 * n, 2))
    content = file.read_bytes()
    assert [content[slice(*row["bytes"])].rstrip(b"\n") for row in rejects] == kinds
    assert [row["row"] for row in rejects] == [row["index"] + 1 for row in rejects]
    said = done.stderr + (tmp_path / "out" / "rejects.jsonl").read_text() + (tmp_path / "out" / "run.json").read_text()
    assert not [word for word in ("another", "objects", "single quotes", "She said", "kept") if word in said]


@pytest.mark.parametrize(("limit", "status"), [("2", 1), ("3", 0), ("4%", 1), ("5%", 0)])
def test_max_rejects(artifact: Path, tmp_path: Path, limit: str, status: int) -> None:
    """More rejects than allowed end the job; as many are no failure, and a higher limit resumes."""
    texts = [*TEXTS, *TEXTS[:3]]
    texts[10] = texts[30] = texts[50] = ""
    file = write_rows(tmp_path / "in.jsonl", texts)
    common = ("--input", file, "--output-dir", tmp_path / "out", "--rows-per-part", 10)
    done = score(artifact, *common, "--max-rejects", limit)
    assert done.returncode == status, done.stderr
    if status:
        assert f"more than {limit} rows are rejected, see --max-rejects" in done.stderr
        assert (tmp_path / "out" / "part-000002.jsonl").exists()
        done = score(artifact, *common, "--max-rejects", "3")
        assert done.returncode == 0
        assert "resuming" in done.stderr
    assert len(predictions(tmp_path / "out")) == 60


def test_limit() -> None:
    """A limit in percent is of all rows, rounded down."""
    assert [Limit(text).rows(1000) for text in ("7", "0.55%", "0")] == [7, 5, 0]
    assert [Limit(text).rows(10_000) for text in ("0.57%", "0.29%", "100%")] == [57, 29, 10_000]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments(artifact: Path, notes: Path, finished: Path, tmp_path: Path, workers: int) -> None:
    """A job that is killed again and again ends with the bytes of one that never was."""
    rng = random.Random(workers)
    common = ("--input", notes, "--output-dir", tmp_path / "out", "--keep", "id", "--rows-per-part", 10)
    started = time.monotonic()
    subprocess.run(command(artifact, *common, "--workers", workers), capture_output=True, cwd=ROOT, check=True)
    whole_s = time.monotonic() - started
    for path in sorted(tmp_path.glob("out/*")):
        if path.is_file():
            path.unlink()
    for path in (tmp_path / "out" / "receipts").iterdir():
        path.unlink()
    for _ in range(6):
        job = subprocess.Popen(command(artifact, *common, "--workers", workers), stderr=subprocess.PIPE, cwd=ROOT)
        time.sleep(rng.uniform(0.3, 1.0) * whole_s)
        job.kill()
        job.communicate()
    done = score(artifact, *common, "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert parts(tmp_path / "out") == parts(finished)


def test_resumed_from_every_state(artifact: Path, notes: Path, finished: Path, tmp_path: Path) -> None:
    """Whatever files of a part were written when the job was killed, the part is scored again and is the same."""
    out = tmp_path / "out"
    common = ("--input", notes, "--output-dir", out, "--keep", "id", "--rows-per-part", 10)
    assert score(artifact, *common).returncode == 0
    (out / "receipts" / "receipt-000001.json").unlink()  # killed in front of the receipt
    (out / "receipts" / "receipt-000003.json").unlink()
    (out / "part-000003.jsonl").unlink()
    (out / "part-000003.jsonl.17.tmp").write_text('{"index": 30')  # killed while the part was written
    (out / "rejects.jsonl").unlink()
    done = score(artifact, *common)
    assert done.returncode == 0
    assert "resuming: 40 of 60 rows are done" in done.stderr
    assert parts(out) == parts(finished)
    assert not list(out.glob("*.tmp"))


def test_terminated_job_resumes(artifact: Path, tmp_path: Path) -> None:
    """SIGTERM lets the part end, and the status says that the job wants to be resumed."""
    file = write_rows(tmp_path / "in.jsonl", [f"{number} {text}" for number in range(200) for text in TEXTS])
    common = ("--input", file, "--output-dir", tmp_path / "out", "--rows-per-part", 50)
    job = subprocess.Popen(command(artifact, *common), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "receipts" / "receipt-000000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 75
    assert "start the same command again to resume" in said
    receipts = list((tmp_path / "out" / "receipts").glob("receipt-*.json"))
    assert 1 <= len(receipts) < 240
    assert not list((tmp_path / "out").glob("*.tmp"))
    done = score(artifact, *common)
    assert (done.returncode, len(predictions(tmp_path / "out"))) == (0, 12_000)


@pytest.mark.parametrize("change", ["input", "options", "artifact", "rows"])
def test_another_job_is_refused(
    artifact: Path, multi_label_artifact: Path, finished: Path, notes: Path, tmp_path: Path, change: str
) -> None:
    """The folder of a job takes no other job; the error says what differs, and nothing is changed."""
    file, model, options = notes, artifact, ["--rows-per-part", "10", "--keep", "id"]
    if change == "input":
        file = tmp_path / "notes.jsonl"
        file.write_bytes(notes.read_bytes().replace(b"late", b"soon", 1))
    elif change == "options":
        options += ["--top-k", "1"]
    elif change == "artifact":
        model = multi_label_artifact
    else:
        options[1] = "11"
    before = parts(finished)
    done = score(model, "--input", file, "--output-dir", finished, *options)
    assert done.returncode == 1
    named = {"input": "input[0].sha256", "options": "options.top_k: null, now 1", "artifact": "artifact.sha256"}
    assert named.get(change, "rows_per_part: 10, now 11") in done.stderr
    assert "pass --restart" in done.stderr
    assert parts(finished) == before


def test_restart(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """With --restart the output of another job is removed, but nothing else."""
    out = tmp_path / "out"
    assert score(artifact, "--input", notes, "--output-dir", out, "--rows-per-part", 10).returncode == 0
    (out / "mine.txt").write_text("mine")
    done = score(artifact, "--input", notes, "--output-dir", out, "--format", "csv", "--restart")
    assert done.returncode == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "mine.txt", "part-000000.csv", "receipts", "rejects.jsonl", "run.json"
    ]  # fmt: skip


def test_folder_of_somebody_else(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A folder with other files is refused, also with --restart."""
    (tmp_path / "part-1.csv").write_text("mine")
    for option in ([], ["--restart"]):
        done = score(artifact, "--input", notes, "--output-dir", tmp_path, *option)
        assert done.returncode == 1
        assert "has files that are not of a job" in done.stderr
    assert (tmp_path / "part-1.csv").read_text() == "mine"


def test_two_jobs_on_one_folder(artifact: Path, tmp_path: Path) -> None:
    """A second job on the folder is refused while the first one runs."""
    file = write_rows(tmp_path / "in.jsonl", TEXTS * 100)
    common = ("--input", file, "--output-dir", tmp_path / "out", "--rows-per-part", 50, "--no-dedupe")
    job = subprocess.Popen(command(artifact, *common), stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        second = score(artifact, *common)
        assert second.returncode == 1
        assert "another job is writing to" in second.stderr
    finally:
        job.kill()
        job.wait()


def test_full_disk(artifact: Path, notes: Path, finished: Path, tmp_path: Path) -> None:
    """When a part cannot be written, the job ends with an error, and resumes when there is room again."""
    common = ("--input", notes, "--output-dir", tmp_path / "out", "--keep", "id", "--rows-per-part", 10)
    done = subprocess.run(
        command(artifact, *common),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)),
    )
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert score(artifact, *common).returncode == 0
    assert parts(tmp_path / "out") == parts(finished)


def test_input_that_changes(artifact: Path, tmp_path: Path) -> None:
    """An input that is changed while the job runs ends it, instead of mixing two inputs."""
    file = write_rows(tmp_path / "in.jsonl", TEXTS * 100)
    common = ("--input", file, "--output-dir", tmp_path / "out", "--rows-per-part", 50, "--no-dedupe")
    job = subprocess.Popen(command(artifact, *common), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "receipts" / "receipt-000000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.utime(file, ns=(0, 0))
    _, said = job.communicate(timeout=60)
    assert job.returncode == 1
    assert "was changed while the job ran" in said


@pytest.mark.parametrize("name", ["in.csv.gz", "in.csv.zst", "in.parquet"])
def test_damaged_file(artifact: Path, tmp_path: Path, name: str) -> None:
    """A file that is cut off is refused by name before anything is scored."""
    table = pa.table({"text": TEXTS * 50})
    pq.write_table(table, tmp_path / "whole.parquet")
    content = "text\n" + "\n".join(f"{number} {text}" for number, text in enumerate(TEXTS * 50))
    whole = {
        "in.csv.gz": gzip.compress(content.encode()),
        "in.csv.zst": pa.compress(content.encode(), "zstd", asbytes=True),
        "in.parquet": (tmp_path / "whole.parquet").read_bytes(),
    }
    (tmp_path / name).write_bytes(whole[name][:-30])
    done = score(artifact, "--input", tmp_path / name, "--output-dir", tmp_path / "out")
    assert done.returncode == 1
    assert f"error: {name}: " in done.stderr
    assert "damaged or cut off" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2"], "--workers needs --output-dir"),
        (["--restart"], "--restart needs --output-dir"),
        (["--output-dir", "x", "--with-text"], "--with-text and --output-dir"),
        (["--output-dir", "x", "--output", "y.csv"], "--output and --output-dir"),
        (["--output-dir", "x", "--max-rejects", "few"], "--max-rejects: expected a number of rows"),
        (["--output-dir", "x", "--rows-per-part", "0"], "--rows-per-part: expected"),
        (["--output-dir", "x", "--format", "table"], "--format: a job writes"),
        (["--output-dir", "x", "--keep", "label"], "--keep: a column has the name"),
        (["--output-dir", "x", "--ray-cpus", "2"], "--ray-cpus needs --ray"),
        (["--output-dir", "x", "--overwrite"], "--overwrite and --output-dir: pass --restart"),
        (["--output-dir", "x", "--info"], "--info and --output-dir"),
        (["--format", "table", "--keep", "id"], "--keep: a table has no place for more columns"),
        (["--format", "parquet"], "Parquet is written in parts; pass --output-dir"),
    ],
)
def test_wrong_options(artifact: Path, notes: Path, options: list[str], message: str) -> None:
    """Options that do not belong together are refused before anything is read."""
    done = score(artifact, "--input", notes, *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_differences_are_named() -> None:
    """What differs between two jobs is named by its path."""
    one = {"a": {"b": 1, "c": [1, {"d": 2}]}, "e": 3}
    other = {"a": {"b": 2, "c": [1, {"d": 5}]}, "f": [1]}
    assert list(differences(one, other)) == [
        "a.b: 1, now 2",
        "a.c[1].d: 2, now 5",
        "e: 3, now null",
        "f: null, now 1 items",
    ]


def test_same_bits_as_in_memory(int8_artifact: Path, notes: Path, tmp_path: Path) -> None:
    """In int8 a job gives the scores of `predict_many`, bit for bit, whatever the parts."""
    file = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": TEXTS}), file)
    options = ("--variant", "int8", "--format", "parquet", "--rows-per-part", 7, "--workers", 2)
    done = score(int8_artifact, "--input", file, "--output-dir", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    found = pa.concat_tables(pq.read_table(part) for part in sorted((tmp_path / "out").glob("part-*.parquet")))
    with load(int8_artifact, provider="cpu", variant="int8") as classifier:
        expected = classifier.predict_many(TEXTS)
        for label in classifier.labels:
            scores = pa.array([item.scores[label] for item in expected], pa.float32())
            assert found.column(f"score_{label}").combine_chunks() == scores
