"""README.md: its commands run in order, and the options and paths that it names exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.__main__ import parse_args as parse_export
from training.arguments import parse_args
from training.data.dataset import load_data

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SHORT = {  # added to the commands, which take twenty minutes as they are on two cores without bf16 and VNNI
    "training": "--num_train_epochs 1 --max_length 32",
    "export": "--calibration-texts 64",
    "benchmarks footprint": "--calls 20 --repeats 1",
    "benchmarks latency": "--rounds 1 --texts 2",
}


def blocks(language: str) -> list[str]:
    """Returns the README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_commands(tmp_path: Path) -> None:
    """The commands and the Python example of README.md run in order, on shorter settings."""
    steps = [block for block in blocks("sh") if "make " not in block and "pip install" not in block]
    assert len(steps) >= 3
    notes = {"id": [1, 2], "text": ["Radius 12.1, average.", "Radius 21, huge; concavity extreme."]}
    pq.write_table(pa.table(notes), tmp_path / "notes.parquet")
    for step in steps:
        for line in step.replace("\\\n", " ").splitlines():
            short = [options for name, options in SHORT.items() if line.startswith(f"python -m {name} ")]
            command = " ".join((line, *short))
            command = command.replace("python -m", f"{sys.executable} -m").replace("build/", f"{tmp_path}/")
            command = command.replace("notes.parquet", f"{tmp_path}/notes.parquet")
            done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
    (code,) = blocks("python")
    script = code.replace("build/demo/", "build/").replace("build/", f"{tmp_path}/")  # the artifact made above
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in {"malignant", "benign"}


def test_own_file_arguments(tmp_path: Path) -> None:
    """The arguments in the table of label layouts parse and read a file of that layout."""
    files = {
        "notes.csv": "dialogue,section\n" + "".join(f"hello {n},a\nbye {n},b\n" for n in range(20)),
        "papers.csv": "title;abstract;group\n" + "".join(f"t;x {n};a|b\nt;y {n};b\n" for n in range(20)),
        "comments.csv": "Text,IsToxic,IsThreat\n" + "".join(f"x {n},TRUE,FALSE\ny {n},0,1\n" for n in range(20)),
    }
    found = set()
    for command in re.findall(r"`(--train_file .*?)` \|", README):
        argv = shlex.split(command.replace("\\|", "|"))
        name = argv[1]
        argv[1] = str(tmp_path / name)
        Path(argv[1]).write_text(files[name])
        arguments = parse_args([*argv, "--output_dir", str(tmp_path / "out")])
        assert len(load_data(arguments.data).labels) == 2
        found.add(name)
    assert found == set(files)


def test_export_arguments() -> None:
    """The export commands in the text of README.md parse."""
    commands = re.findall(r"`python -m export ([^`]*)`", README)
    assert [parse_export(shlex.split(command)).portable for command in commands] == [False, True]


def test_export_options() -> None:
    """The export has every option that docs/int8.md names."""
    page = (ROOT / "docs/int8.md").read_text("utf-8")
    options = re.findall(r"`(--[a-z0-9-]+)", page)
    assert "--fp32-layers" in options
    for option in options:
        assert option.removeprefix("--").replace("-", "_") in vars(parse_export(["checkpoint", "artifact"]))


def test_make_targets_exist() -> None:
    """The Makefile has every target that README.md names."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_paths_exist() -> None:
    """Every path that README.md names exists."""
    for path in re.findall(r"`((?:runtime|training|export|benchmarks|tests|docs)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path
