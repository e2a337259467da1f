"""Inputs and kept columns of jobs that are refused, or kept as they are: addresses, names, encodings, types."""

import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from .jobs import TEXTS, predictions, score, write_rows


def test_address_of_this_machine(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A `file://` address is a local path, with the same protection."""
    done = score(artifact, "--input", tmp_path.as_uri(), "--output-dir", tmp_path / "out")
    assert "--output-dir is in the input folder" in done.stderr
    assert score(artifact, "--input", notes.as_uri(), "--output-dir", (tmp_path / "o u t").as_uri()).returncode == 0
    assert len(predictions(tmp_path / "o u t")) == 6
    assert "sha256" in json.loads((tmp_path / "o u t" / "run.json").read_text())["input"][0]


@pytest.mark.parametrize("address", ["file://out", "file://", "file:///", "file://host/out"])
def test_file_address_without_a_path(artifact: Path, notes: Path, address: str) -> None:
    """Such an address is an error, and never the root folder."""
    done = score(artifact, "--input", notes, "--output-dir", address)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "expected for example file:///folder/file" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have UTF-8 names only")
def test_file_name_that_is_not_utf8(artifact: Path, tmp_path: Path) -> None:
    """Such a name could not be written to the rejects, so it is refused."""
    write_rows(tmp_path / os.fsdecode(b"b\xff.jsonl"), TEXTS)
    done = score(artifact, "--input", tmp_path, "--output-dir", tmp_path.parent / f"{tmp_path.name}-out")
    assert (done.returncode, done.stderr) == (
        1,
        "error: the file name 'b\\udcff.jsonl' is not UTF-8; rename the file\n",
    )


def test_parquet_in_gzip(artifact: Path, tmp_path: Path) -> None:
    """Parquet cannot be read from a stream, so a compressed one is refused by name."""
    (tmp_path / "in.parquet.gz").write_bytes(b"\x1f\x8b")
    for options in ([], ["--input-format", "parquet"]):
        done = score(artifact, "--input", tmp_path / "in.parquet.gz", "--output-dir", tmp_path / "out", *options)
        assert "in.parquet.gz: Parquet is compressed inside" in done.stderr


def test_kept_types_in_a_chunk_with_a_reject(artifact: Path, tmp_path: Path) -> None:
    """Rows are left out of columns of every type; `take` of pyarrow does not know string_view."""
    table = pa.table(
        {
            "text": ["late", None, "calm"],
            "view": pa.array(["a", "b", None], pa.string_view()),
            "code": pa.array(["x", "y", "x"]).dictionary_encode(),
            "list": [[1], [], None],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    options = ("--keep", "view", "code", "list", "--format", "parquet")
    assert (
        score(artifact, "--input", tmp_path / "in.parquet", "--output-dir", tmp_path / "out", *options).returncode == 1
    )
    found = pq.read_table(tmp_path / "out" / "part-000000.parquet")
    expected = pa.concat_tables([table.slice(0, 1), table.slice(2)])
    for name in ("view", "code", "list"):
        assert found.column(name).to_pylist() == expected.column(name).to_pylist()
        assert found.schema.field(name).type == table.schema.field(name).type


def test_kept_types_that_differ(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """The parts of a job are one table, so a column has one type."""
    pq.write_table(pa.table({"text": ["late"], "id": [1]}), tmp_path / "in.parquet")
    common = ("--input", notes, tmp_path / "in.parquet", "--keep", "id", "--output-dir", tmp_path / "out")
    done = score(artifact, *common, "--format", "parquet")
    assert done.returncode == 1
    assert "the column 'id' has the type string in notes.jsonl and int64 in in.parquet" in done.stderr
    assert score(artifact, *common).returncode == 0


def test_kinds_of_strings(artifact: Path, notes: Path, tmp_path: Path) -> None:
    """Strings of several kinds are one column for those who read the parts."""
    pq.write_table(pa.table({"text": ["late"], "id": pa.array(["x"], pa.large_string())}), tmp_path / "in.parquet")
    common = ("--input", notes, tmp_path / "in.parquet", "--keep", "id", "--output-dir", tmp_path / "out")
    assert score(artifact, *common, "--format", "parquet").returncode == 0
    found = dataset(sorted((tmp_path / "out").glob("part-*")), format="parquet").to_table()
    assert found.column("id").to_pylist() == [*map(str, range(6)), "x"]


@pytest.mark.parametrize("rows", [10, 30_000])
def test_parquet_output_that_is_not_finished(artifact: Path, tmp_path: Path, rows: int) -> None:
    """A part in Parquet that is given up leaves no stack trace behind."""
    file = write_rows(tmp_path / "in.jsonl", [*["late"] * rows, ""])
    options = ("--format", "parquet", "--max-rejects", 0)
    done = score(artifact, "--input", file, "--output-dir", tmp_path / "out", *options)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: more than 0 rows are rejected")
    assert "Traceback" not in done.stderr


def test_requested_column_is_not_repeated(artifact: Path, tmp_path: Path) -> None:
    """A text in the place of a column name is shown for no format."""
    write_rows(tmp_path / "in.jsonl", TEXTS)
    (tmp_path / "in.csv").write_text("text\nlate\n")
    pq.write_table(pa.table({"text": ["late"]}), tmp_path / "in.parquet")
    for name in ("in.csv", "in.parquet"):
        for option in ("--text-column", "--keep", "--id-column"):
            done = score(
                artifact, "--input", tmp_path / name, option, "Miller denies pain", "--output-dir", tmp_path / "out"
            )
            assert done.returncode == 1
            assert option in done.stderr
            assert "Miller" not in done.stderr


def test_wide_encoding(artifact: Path, tmp_path: Path) -> None:
    """UTF-16 without a byte order mark is read as the error says."""
    (tmp_path / "in.csv").write_bytes("id,text\n1,late\n2,calm\n".encode("utf-16-le"))
    common = ("--input", tmp_path / "in.csv", "--output-dir", tmp_path / "out")
    assert "pass --encoding utf-16-le" in score(artifact, *common).stderr
    assert score(artifact, *common, "--encoding", "utf-16-le").returncode == 0
    assert len(predictions(tmp_path / "out")) == 2
