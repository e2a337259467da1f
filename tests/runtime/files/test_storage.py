"""Storages: this machine, and S3 as a real server on this machine speaks it."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import InputError
from runtime.files.inputs import find_inputs
from runtime.files.storage import LocalStorage, Storage, open_storage

from ..jobs.jobs import lines, parts, score, write_rows

TEXTS = [f"the train number {number} was late" for number in range(30)]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bucket of a server on this machine, for which the environment is set."""
    pytest.importorskip("moto", reason="needs moto")
    pytest.importorskip("flask", reason="needs moto's server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"))
                    break
                except urllib.error.URLError:
                    time.sleep(0.1)
            yield "s3://bucket"
        finally:
            server.kill()
            server.wait()


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    """A storage, and a folder in it."""
    if request.param == "local":
        return open_storage(str(tmp_path))
    return open_storage(f"{request.getfixturevalue('s3')}/{tmp_path.name}")


def test_files(place: tuple[Storage, str]) -> None:
    """Files are written whole or not at all, found by folder and pattern, and removed."""
    storage, folder = place
    storage.make_folder(f"{folder}/deep")
    for name in ("deep/b.csv", "a.csv", "_SUCCESS", "c.txt"):
        with storage.write(f"{folder}/{name}") as file:
            file.write(name.encode())
    with pytest.raises(ZeroDivisionError), storage.write(f"{folder}/half.csv") as file:
        file.write(b"half")
        raise ZeroDivisionError
    names = [path.rpartition(folder)[2] for path in storage.find(folder)]
    assert names == ["/a.csv", "/c.txt", "/deep/b.csv"]
    patterns = {
        "*.txt": ["c.txt"],
        "*.csv": ["a.csv"],
        "*/*.csv": ["deep/b.csv"],
        "[ab].csv": ["a.csv"],
        "?.txt": ["c.txt"],
    }
    patterns |= {
        "?.txt": ["c.txt"],
        "**/*.csv": ["a.csv", "deep/b.csv"],
        "d*/**": ["deep/b.csv"],
        "_*": ["_SUCCESS"],
        "*/c.txt": [],
    }
    for pattern, expected in patterns.items():
        assert storage.find(f"{folder}/{pattern}") == [f"{folder}/{name}" for name in expected], pattern
    assert storage.find(f"{folder}/a.csv") == [f"{folder}/a.csv"]
    assert storage.find(f"{folder}/nothing*") == []
    assert sorted(storage.names(folder)) == ["_SUCCESS", "a.csv", "c.txt"]
    assert storage.status(f"{folder}/a.csv").size == 5
    with storage.open(f"{folder}/deep/b.csv") as file:
        file.seek(5)
        assert file.read() == b"b.csv"
    storage.remove(f"{folder}/a.csv")
    with pytest.raises(FileNotFoundError):
        storage.status(f"{folder}/a.csv")


def test_job_on_s3(s3: str, artifact: Path, tmp_path: Path) -> None:
    """A job reads from and writes to S3, and resumes there, with the bytes of a local one."""
    local = write_rows(tmp_path / "in.jsonl", [*TEXTS, ""])
    storage, folder = open_storage(f"{s3}/in")
    storage.make_folder(folder)
    with storage.write(f"{folder}/in.jsonl") as file:
        file.write(local.read_bytes())
    common = ("--keep", "id", "--rows-per-part", 10, "--max-rejects", 1)
    assert score(artifact, "--input", local, "--output-dir", tmp_path / "out", *common).returncode == 0
    remote = ("--input", f"{s3}/in", "--output-dir", f"{s3}/out", *common)
    done = score(artifact, *remote)
    assert done.returncode == 0, done.stderr
    _, out = open_storage(f"{s3}/out")
    storage.remove(f"{out}/receipts/receipt-000001.json")
    done = score(artifact, *remote)
    assert done.returncode == 0, done.stderr
    assert "resuming: 21 of 31 rows are done" in done.stderr
    for name, content in parts(tmp_path / "out").items():
        with storage.open(f"{out}/{name}") as file:
            assert file.read() == content
    assert [row["row"] for row in lines(tmp_path / "out" / "rejects.jsonl")] == [31]
    assert score(artifact, *remote, "--top-k", 1).returncode == 1


def test_missing_files(tmp_path: Path) -> None:
    """A path, folder or pattern without files is an error that names it."""
    for path in (tmp_path / "x.csv", tmp_path, tmp_path / "*.csv"):
        with pytest.raises(InputError, match="cannot read"):
            find_inputs([str(path)])


def test_wrong_address() -> None:
    """An address that pyarrow does not know is an error without a stack trace."""
    with pytest.raises(InputError, match="cannot use the nowhere address"):
        open_storage("nowhere://bucket/key")


def test_write_is_atomic(tmp_path: Path) -> None:
    """A file that is replaced stays whole until the new one is complete."""
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with LocalStorage().write(str(path)) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
