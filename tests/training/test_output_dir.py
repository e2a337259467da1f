"""The output folder: killed and resumed, used twice, and by several processes."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from training.output_dir import last_state

from .runs import command, easy_rows, train, write_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OPTIONS = ("--label_columns", "label", "--num_train_epochs", "10", "--early_stopping_patience", "10")


ON_SHUTDOWN = """import atexit, os
if "RANK" in os.environ:
    atexit.register(print, "rank", os.environ["RANK"], "shuts down")
"""


def start(log: Path, *arguments: str, path: Path = ROOT) -> subprocess.Popen[bytes]:
    """Starts a training as a user does, with its output in a file; `path` is searched for modules, too."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    with log.open("w") as file:
        return subprocess.Popen([sys.executable, "-m", *arguments], env=environment, stdout=file, stderr=file)


def epochs(folder: Path) -> int:
    """Returns how many epochs the newest complete trainer checkpoint has."""
    states = list(folder.glob("checkpoint-*/trainer_state.json"))
    found = 0
    for state in states:
        try:
            found = max(found, int(json.loads(state.read_text())["epoch"]))
        except (OSError, ValueError):  # being written, or removed
            continue
    return found


def test_killed_and_resumed(encoder: Path, easy: Path, tmp_path: Path) -> None:
    """A training that is killed at 60 % and resumed has the same metrics and the same weights."""
    log, output = tmp_path / "log", tmp_path / "killed"
    assert train(encoder, easy, tmp_path / "whole", *OPTIONS) == 0
    process = start(log, "training", *command(encoder, easy, output, *OPTIONS))
    deadline = time.monotonic() + 300
    while epochs(output) < 6 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 6 <= epochs(output) < 10
    assert not (output / "training.json").exists()
    (output / "checkpoint-9999").mkdir()  # as if it had died while it wrote that one
    assert train(encoder, easy, output, *OPTIONS, "--resume_from_checkpoint", "latest") == 0
    whole, resumed = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "killed"))
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["decisions"] == whole["decisions"]
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all((found[name] == weight).all() for name, weight in expected.items())
    assert not list(output.glob("checkpoint-*")) + list(output.glob("run.json"))


def claiming(folder: Path, encoder: Path, easy: Path) -> subprocess.Popen[bytes]:
    """Starts a training and waits until it has locked its folder."""
    process = start(folder.parent / "log", "training", *command(encoder, easy, folder, "--label_columns", "label"))
    run = folder / "run.json"
    while process.poll() is None and not (run.is_file() and run.stat().st_size):
        time.sleep(0.01)
    return process


def stopped(folder: Path, encoder: Path, easy: Path) -> Path:
    """Returns a folder as a killed training leaves it, without a trainer checkpoint."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("training.__main__.fine_tune", lambda *_: sys.exit("killed"))
        train(encoder, easy, folder, "--label_columns", "label")
    return folder


def test_resumed_with_the_same_settings_only(
    encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder is resumed with the same settings and on request only; without a trainer checkpoint it starts over."""
    folder = stopped(tmp_path / "out", encoder, easy)
    assert train(encoder, easy, folder, "--label_columns", "label") == 1
    assert "is not empty" in (error := capsys.readouterr().err)
    assert "pass --resume_from_checkpoint latest to resume" in error
    go_on = ["--label_columns", "label", "--resume_from_checkpoint", "latest"]
    assert train(encoder, easy, folder, *go_on, "--learning_rate", "1e-3", "--max_length", "16") == 1
    assert "holds a training with other settings: learning_rate, max_length" in capsys.readouterr().err
    assert train(encoder, easy, folder, *go_on, "--test_size", "0.3") == 1
    assert "other settings: test_size;" in capsys.readouterr().err
    other = write_rows(tmp_path / "other.csv", easy_rows(30))
    assert train(encoder, other, folder, *go_on) == 1
    assert "other settings: data_sha256" in capsys.readouterr().err
    assert train(encoder, easy, folder, *go_on, "--logging_steps", "1") == 0
    assert (folder / "training.json").is_file()


def test_other_encoder_is_not_resumed(
    encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training is not resumed if the files of its encoder have changed."""
    own = shutil.copytree(encoder, tmp_path / "encoder")
    folder = stopped(tmp_path / "out", own, easy)
    tokenizer = json.loads((own / "tokenizer.json").read_text())
    (own / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": {"type": "NFKC"}}))
    assert train(own, easy, folder, "--label_columns", "label", "--resume_from_checkpoint", "latest") == 1
    assert "other settings: encoder_sha256;" in capsys.readouterr().err


def test_state_of_another_folder(encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trainer checkpoint outside the output folder is rejected."""
    complete(tmp_path / "checkpoint-3", 3)
    arguments = ["--label_columns", "label", "--resume_from_checkpoint", str(tmp_path / "checkpoint-3")]
    assert train(encoder, easy, tmp_path / "out", *arguments) == 1
    assert "or a checkpoint-* folder in --output_dir" in capsys.readouterr().err


@pytest.mark.parametrize("states", [True, False])
def test_full_disk(encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], states: bool) -> None:
    """A full disk, here a limit of 50 KB per file, is a one-line error, and the same command resumes afterwards."""
    none = ["--save_strategy", "no", "--eval_strategy", "no", "--load_best_model_at_end", "false"]
    options = ["--label_columns", "label", "--num_train_epochs", "1", *([] if states else none)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50 << 10, before[1]))
    try:
        assert train(encoder, easy, tmp_path / "out", *options) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.splitlines()[-1].startswith("error: ")
    assert train(encoder, easy, tmp_path / "out", *options, "--resume_from_checkpoint", "latest") == 0


def test_mistake_leaves_the_folder_empty(encoder: Path, easy: Path, tmp_path: Path) -> None:
    """After an error before the training, the corrected command runs in the same folder."""
    folder = tmp_path / "out"
    assert train(encoder, easy, folder, "--label_columns", "label", "--max_length", "100") == 1
    assert not list(folder.iterdir())
    assert train(encoder, easy, folder, "--label_columns", "label", "--num_train_epochs", "1") == 0


def test_killed_at_the_very_end(
    encoder: Path, easy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete checkpoint is not trained again; leftover trainer checkpoints are removed."""
    options = ("--label_columns", "label", "--num_train_epochs", "1")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("training.__main__.remove_trainer_checkpoints", lambda _: sys.exit("killed"))
        train(encoder, easy, tmp_path / "out", *options)
    before = (tmp_path / "out/model.safetensors").stat().st_mtime_ns
    caplog.set_level("INFO")
    assert train(encoder, easy, tmp_path / "out", *options, "--resume_from_checkpoint", "latest") == 0
    assert "already complete" in caplog.text
    assert (tmp_path / "out/model.safetensors").stat().st_mtime_ns == before
    assert not list((tmp_path / "out").glob("checkpoint-*")) + list((tmp_path / "out").glob("run.json"))


def test_two_runs_on_one_folder(encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run on the same folder is rejected and does not disturb the first."""
    folder = tmp_path / "out"
    process = claiming(folder, encoder, easy)
    go_on = ["--label_columns", "label", "--resume_from_checkpoint", "latest"]
    assert train(encoder, easy, folder, *go_on) == 1
    assert "another training is running in --output_dir" in capsys.readouterr().err
    assert process.wait(300) == 0, (tmp_path / "log").read_text()[-3000:]
    assert (folder / "training.json").is_file()


def test_incomplete_state_is_refused(
    encoder: Path, easy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An incomplete trainer checkpoint is rejected if it is named."""
    state = tmp_path / "out/checkpoint-3"
    state.mkdir(parents=True)
    (tmp_path / "out/run.json").touch()
    arguments = ["--label_columns", "label", "--resume_from_checkpoint", str(state)]
    assert train(encoder, easy, tmp_path / "out", *arguments) == 1
    assert "expected a complete checkpoint-* folder" in capsys.readouterr().err


def complete(state: Path, step: int, processes: int = 1) -> None:
    """Writes the files of a complete trainer checkpoint."""
    state.mkdir()
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"):
        (state / name).touch()
    for name in ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]:
        torch.save({"python": step}, state / name)
    (state / "trainer_state.json").write_text(json.dumps({"global_step": step}))


def latest(folder: Path, processes: int = 1) -> str | None:
    """Returns the trainer checkpoint that `--resume_from_checkpoint latest` finds."""
    training = SimpleNamespace(output_dir=str(folder), resume_from_checkpoint="latest", world_size=processes)
    return last_state(training)


def test_latest_of_several(tmp_path: Path) -> None:
    """The latest trainer checkpoint is the complete one with the highest step."""
    for step in (9, 100, 20):
        complete(tmp_path / f"checkpoint-{step}", step)
    (tmp_path / "checkpoint-300").mkdir()
    complete(tmp_path / "checkpoint-400", 400)
    (tmp_path / "checkpoint-400/trainer_state.json").write_text('{"global_st')
    complete(tmp_path / "checkpoint-500", 500)
    (tmp_path / "checkpoint-500/model.safetensors").unlink()  # as if it had died while that one was removed
    assert latest(tmp_path) == str(tmp_path / "checkpoint-100")


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 the first bytes"])
def test_latest_of_two_processes(tmp_path: Path, content: bytes | None) -> None:
    """A trainer checkpoint is incomplete until the random state of every process is written."""
    complete(tmp_path / "checkpoint-10", 10, processes=2)
    complete(tmp_path / "checkpoint-20", 20, processes=2)
    assert latest(tmp_path, processes=2) == str(tmp_path / "checkpoint-20")
    (tmp_path / "checkpoint-20/rng_state_1.pth").unlink()
    if content is not None:
        (tmp_path / "checkpoint-20/rng_state_1.pth").write_bytes(content)
    assert latest(tmp_path, processes=2) == str(tmp_path / "checkpoint-10")


@pytest.fixture
def launch() -> tuple[str, ...]:
    """The command that starts two processes that train together."""
    return ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "training")


def test_two_processes(encoder: Path, easy: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    """Two processes make one checkpoint, the same if they are stopped and resumed, and TensorBoard has its log."""
    log, whole, output = tmp_path / "log", tmp_path / "whole", tmp_path / "stopped"
    options = (*OPTIONS, "--report_to", "tensorboard")
    assert start(log, *launch, *command(encoder, easy, whole, *options)).wait(300) == 0, log.read_text()[-3000:]
    process = start(log, *launch, *command(encoder, easy, output, *OPTIONS))
    deadline = time.monotonic() + 300
    while epochs(output) < 6 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.terminate()  # torchrun takes its processes along
    assert process.wait(60) != 0
    assert 6 <= epochs(output) < 10
    again = command(encoder, easy, output, *OPTIONS, "--resume_from_checkpoint", "latest")
    assert start(log, *launch, *again).wait(300) == 0, log.read_text()[-3000:]
    expected, found = (json.loads((folder / "training.json").read_text()) for folder in (whole, output))
    assert expected["metrics"]["test"]["accuracy"] > 0.9
    assert found["metrics"] == expected["metrics"]
    assert list(whole.glob("runs/*/events.out.tfevents.*"))
    (output / "run.json").touch()  # as if it had been killed before the last of its cleaning up
    (tmp_path / "sitecustomize.py").write_text(ON_SHUTDOWN)
    assert start(log, *launch, *again, path=tmp_path).wait(300) == 0, log.read_text()[-3000:]
    assert "already complete" in log.read_text()
    # Gloo's threads can abort the shutdown of a process that only trained along, so that it has none.
    assert re.findall(r"^rank . shuts down$", log.read_text(), re.MULTILINE) == ["rank 0 shuts down"]


def test_refused_in_one_process(encoder: Path, easy: Path, tmp_path: Path, launch: tuple[str, ...]) -> None:
    """An error that only the first process finds ends the others as well."""
    (tmp_path / "notes.txt").touch()
    process = start(tmp_path / "log", *launch, *command(encoder, easy, tmp_path, "--label_columns", "label"))
    assert process.wait(300) != 0
    assert "is not empty; choose a new folder" in (tmp_path / "log").read_text()
