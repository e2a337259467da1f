"""`python -m benchmarks.demo FOLDER`: fine-tune, export, predict, and compare with PyTorch, as `make demo` does.

Each step is a command that a user would type. Its output goes to FOLDER/demo.log. The terminal shows one line per step,
and at the end a table.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import results
from .steps import StepError, run_step

RECIPE = "training/recipes/breast_cancer.json"
TEXT = "The nuclei are very large: radius 20.6, perimeter 137, area 1320. Concavity marked, concave points high."
REJECTED = 3  # exit status of an export whose int8 variant was rejected; the artifact has the other variants
INTERRUPTED = 130


@dataclass(frozen=True)
class Step:
    """One step of the demo.

    Attributes:
        title: Start of the step's line.
        command: Module and arguments for `python -m`.
        result: Returns the end of the step's line, from the command's exit status and output.
        accept: Exit statuses that mean success.
    """

    title: str
    command: list[str]
    result: Callable[[int, str], str]
    accept: tuple[int, ...] = (0,)


def steps(folder: Path) -> list[Step]:
    """Returns the five steps, which write into a folder."""
    checkpoint, artifact = folder / "checkpoint", folder / "artifact"
    quality, latency = folder / "quality.json", folder / "latency.json"
    compared = ["--model", str(artifact), "--checkpoint", str(checkpoint)]
    contenders = ["--contenders", "pytorch-fp32", "litmus-fp32", "litmus", "--batch_sizes", "8"]
    return [
        Step(
            "Fine-tune",
            ["training", RECIPE, "--output_dir", str(checkpoint)],
            lambda _status, _output: results.trained(checkpoint),
        ),
        Step(
            "Export",
            ["export", str(checkpoint), str(artifact)],
            lambda status, _output: results.exported(artifact, rejected=status == REJECTED),
            accept=(0, REJECTED),
        ),
        Step(
            "Predict",
            ["runtime.predict", "--model", str(artifact), TEXT],
            lambda _status, output: results.predicted(output),
        ),
        Step(
            "Compare quality",
            ["benchmarks", "quality", *compared, "--output", str(quality)],
            lambda _status, _output: results.quality(quality),
        ),
        Step(
            "Compare latency",
            ["benchmarks", "latency", *compared, "--output", str(latency), *contenders],
            lambda _status, _output: results.latency(latency),
        ),
    ]


def run(folder: Path, log: Path) -> int:
    """Runs the steps and prints the table; returns the exit status of the table's command.

    Raises:
        StepError: A step failed.
    """
    python = [_shown(sys.executable), "-m"]
    todo = steps(folder)
    width = max(len(step.title) for step in todo)
    for number, step in enumerate(todo, start=1):
        title = f"[{number}/{len(todo)}] {step.title:<{width}}"
        run_step(title, [[*python, *step.command]], log, result=step.result, accept=step.accept)
    reports = ["--quality", str(folder / "quality.json"), "--latency", str(folder / "latency.json")]
    with log.open("ab") as errors:
        return subprocess.run([*python, "benchmarks", "demo", *reports], stderr=errors, check=False).returncode


def _shown(path: str) -> str:
    """Returns a path relative to the current folder if it is inside, as a user would type it."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, the exit status of the step that failed, or 130 if it was interrupted."""
    (name,) = sys.argv[1:] if argv is None else argv
    folder = Path(name)
    log = folder / "demo.log"
    folder.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    print(f"Litmus demo in {folder}; the output of each step goes to {log}\n", file=sys.stderr, flush=True)
    try:
        return run(folder, log)
    except StepError as error:
        return error.status
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
