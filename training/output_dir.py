"""The output folder: locked by one run at a time, resumed after an interruption, never overwritten.

`run.json` holds the run's settings from the start, so that only the same training resumes there. Beside it are the
Trainer's checkpoints, `checkpoint-*`. A checkpoint that was being written when the process died is skipped.
"""

import contextlib
import fcntl
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME

from .arguments import LATEST, FineTuningArguments
from .errors import TrainingError

RUN = "run.json"
STATE = ("model.safetensors", "optimizer.pt", "scheduler.pt", TRAINER_STATE_NAME)


@contextlib.contextmanager
def lock_output_dir(training: FineTuningArguments, settings: Mapping[str, Any]) -> Iterator[Path]:
    """Locks the output folder for this run.

    Args:
        training: Has the folder and `resume_from_checkpoint`.
        settings: All settings that affect the result, ready for JSON.

    Raises:
        TrainingError: The folder cannot be written to, is locked by another run, or holds other files or a run with
            other settings. Nothing is deleted or overwritten.
    """
    folder = Path(training.output_dir)
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"--output_dir {folder} is a file; choose a new folder")
    resume = training.resume_from_checkpoint
    if folder.is_dir() and any(folder.iterdir()) and (resume is None or not (folder / RUN).is_file()):
        again = f", or pass --resume_from_checkpoint {LATEST} to resume" if (folder / RUN).is_file() else ""
        raise TrainingError(f"--output_dir {folder} is not empty; choose a new folder, or remove this one{again}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        run = (folder / RUN).open("a+", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"cannot write to --output_dir {folder}: {reason}; choose another folder") from error
    with run:
        try:
            fcntl.flock(run, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(
                f"another training is running in --output_dir {folder}; choose another folder"
            ) from error
        run.seek(0)
        before = run.read()
        if before.strip():
            _check_same(folder, before, settings)
        else:
            run.write(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
            run.flush()
        try:
            yield folder
        except Exception:
            if {path.name for path in folder.iterdir()} == {RUN}:  # nothing was written, so any command may start here
                (folder / RUN).unlink(missing_ok=True)
            raise


def last_state(training: FineTuningArguments) -> str | None:
    """Returns the trainer checkpoint to resume from, or None to start over.

    Raises:
        TrainingError: The checkpoint that `resume_from_checkpoint` names is not complete.
    """
    resume, processes = training.resume_from_checkpoint, training.world_size
    if resume is None:
        return None
    if resume != LATEST:
        if _step(Path(resume), processes) is None:
            raise TrainingError(f"--resume_from_checkpoint {resume}: expected a complete checkpoint-* folder")
        return resume
    steps = {path: _step(path, processes) for path in Path(training.output_dir).glob("checkpoint-*")}
    states = {path: step for path, step in steps.items() if step is not None}
    return str(max(states, key=states.__getitem__)) if states else None


def _step(state: Path, processes: int) -> int | None:
    """Returns the step of a trainer checkpoint, or None if it is incomplete: partly written, or partly removed."""
    if not all((state / name).is_file() for name in STATE):
        return None
    # Each process writes its random state on its own, so that of another may be missing or incomplete.
    ranks = [""] if processes == 1 else [f"_{rank}" for rank in range(processes)]
    if not all(zipfile.is_zipfile(state / f"rng_state{rank}.pth") for rank in ranks):  # as torch.save writes it
        return None
    try:
        return int(json.loads((state / TRAINER_STATE_NAME).read_text("utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_same(folder: Path, content: str, settings: Mapping[str, Any]) -> None:
    """Rejects resuming a training with other settings, and names them."""
    try:
        before = json.loads(content)
        now = json.loads(json.dumps(settings))
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    except (ValueError, TypeError) as error:
        raise TrainingError(
            f"{folder / RUN} was not written by `python -m training`; choose another --output_dir"
        ) from error
    if names:
        raise TrainingError(
            f"--output_dir {folder} holds a training with other settings: {', '.join(names)}; "
            "resume with the same settings, or choose another folder"
        )
