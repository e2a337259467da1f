"""Jobs and `RowScorer` on a real Ray, on this machine."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import RowScorer, load

from ..jobs.jobs import ROOT, command, parts, score, write_rows

pytestmark = pytest.mark.slow

ray: Any = pytest.importorskip("ray", reason="needs the extra `ray`")
TEXTS = [f"the train number {number} was late {'again ' * (number % 5)}" for number in range(400)]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON Lines file of 400 texts with ids."""
    return write_rows(tmp_path_factory.mktemp("notes") / "notes.jsonl", TEXTS)


@pytest.fixture(scope="module")
def finished(int8_artifact: Path, notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one process, in int8."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    options = ("--input", notes, "--output-dir", folder, "--keep", "id", "--rows-per-part", 20, "--variant", "int8")
    assert score(int8_artifact, *options).returncode == 0
    return folder


def test_job(int8_artifact: Path, notes: Path, finished: Path, tmp_path: Path) -> None:
    """Two actors write the bytes that one process writes, and a resumed job scores what is missing."""
    out = tmp_path / "out"
    options = ("--input", notes, "--output-dir", out, "--keep", "id", "--rows-per-part", 20)
    on_ray = ("--ray", "--workers", 2)
    for started, resumed in (on_ray, on_ray), (on_ray, ()), ((), on_ray):
        done = score(int8_artifact, *options, "--restart", *started)
        assert done.returncode == 0, done.stderr
        assert parts(out) == parts(finished)
        for number in (3, 7):
            (out / "receipts" / f"receipt-{number:06}.json").unlink()
        done = score(int8_artifact, *options, *resumed)
        assert done.returncode == 0, done.stderr
        assert "resuming: 360 of 400 rows are done" in done.stderr
        assert parts(out) == parts(finished)


def test_variant_that_is_not_there(int8_artifact: Path, notes: Path, tmp_path: Path) -> None:
    """A variant that the artifact does not have is an error, and not replaced by another one."""
    options = ("--input", notes, "--output-dir", tmp_path / "out", "--variant", "fp16")
    done = score(int8_artifact, *options, "--ray", "--workers", 1)
    assert (done.returncode, done.stderr) == (1, "error: the artifact has no variant fp16 for the provider 'cpu'\n")


def test_actor_that_fits_nowhere(int8_artifact: Path, notes: Path, tmp_path: Path) -> None:
    """An actor with more CPUs than a node has ends the job; Ray would wait for such a node for ever."""
    done = score(int8_artifact, "--input", notes, "--output-dir", tmp_path / "out", "--ray", "--ray-cpus", 1000)
    assert done.returncode == 1
    assert "--ray: no node of the cluster has 1000 CPUs for an actor" in done.stderr


def test_killed_actor(int8_artifact: Path, notes: Path, finished: Path, tmp_path: Path) -> None:
    """When an actor is killed, others score its parts: nothing is lost and nothing is there twice."""
    out = tmp_path / "out"
    options = ("--input", notes, "--output-dir", out, "--keep", "id", "--rows-per-part", 20, "--variant", "int8")
    job = subprocess.Popen(
        command(int8_artifact, *options, "--ray", "--workers", 2, "--no-dedupe"),
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(out.glob("receipts/receipt-*")) and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.01)
    killed = _kill_one_actor(job.pid)
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert killed
    assert parts(out) == parts(finished)
    run = json.loads((out / "run.json").read_text())
    assert (run["rows"], run["scored"], run["parts"]) == (400, 400, 20)


def test_wrong_address(int8_artifact: Path, notes: Path, tmp_path: Path) -> None:
    """An address without a cluster is one line."""
    done = score(int8_artifact, "--input", notes, "--output-dir", tmp_path / "out", "--ray", "127.0.0.1:1")
    assert done.returncode == 1
    assert "error: --ray: there is no cluster at this address" in done.stderr


@pytest.fixture
def local_ray() -> Iterator[None]:
    """A Ray of two CPUs in this process."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["numpy", "pyarrow"])
def test_row_scorer(int8_artifact: Path, local_ray: None, form: str) -> None:
    """`RowScorer` in map_batches gives the labels of `predict_many`."""
    from ray import data

    dataset = data.from_items([{"id": at, "text": text} for at, text in enumerate(TEXTS)], override_num_blocks=4)
    found = dataset.map_batches(
        RowScorer,
        fn_constructor_args=(str(int8_artifact),),
        batch_format=form,
        compute=data.ActorPoolStrategy(size=2),
    ).take_all()
    with load(int8_artifact, provider="cpu") as classifier:
        expected = [item.label for item in classifier.predict_many(TEXTS)]
    assert [row["label"] for row in sorted(found, key=lambda row: row["id"])] == expected


def _kill_one_actor(driver: int) -> bool:
    """Kills a process of Ray that has loaded a classifier."""
    import psutil

    for process in psutil.Process(driver).children(recursive=True):
        try:
            if any("onnxruntime" in item.path for item in process.memory_maps()) and "ray::" in process.cmdline()[0]:
                process.kill()
                return True
        except (psutil.Error, IndexError):
            continue
    return False
