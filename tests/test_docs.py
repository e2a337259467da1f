"""The pages in docs: examples of runtime.md run in order; options in tables and commands exist."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import runtime
from runtime.predict import parse_args
from training.arguments import parse_args as parse_training

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/runtime.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Returns the code blocks of runtime.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_library(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python examples of docs/runtime.md run in order, with only the artifact's path changed."""
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block.replace("build/artifact", str(artifact)), names)
    assert names["prediction"].windows
    assert names["explanation"].words
    assert len(names["predictions"]) == 2
    assert names["labels"] == ["late", "on|off"]
    assert "text 2: it is empty" in capsys.readouterr().out


def test_command_line(artifact: Path, tmp_path: Path) -> None:
    """The commands of docs/runtime.md succeed and write their output files."""
    (tmp_path / "notes.csv").write_text("id,note\n7,late\n8,calm\n")
    for block in blocks("sh"):
        for line in block.splitlines():
            command = line.replace("python -m", f"PYTHONPATH={ROOT} {sys.executable} -m")
            command = command.replace("build/artifact", str(artifact))
            subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "found.csv").read_text().count("\n") == 3
    assert "</article>" in (tmp_path / "page.html").read_text()


def test_tables() -> None:
    """The tables of docs/runtime.md name every argument of `load`, every error, and only options that exist."""
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    arguments = {*inspect.signature(runtime.load).parameters} - {"folder"}
    errors = {name for name in runtime.__all__ if name.endswith("Error")} - {"LitmusError"}
    assert named == arguments | errors
    for options in re.findall(r"^\| `(--[^`]*)` \|", PAGE, re.MULTILINE):
        parse_args(["--model", "x", "--input", "x.csv", *shlex.split(options)])
    for option in set(re.findall(r"`(--[a-z-]+)`", PAGE)):
        assert option.removeprefix("--").replace("-", "_") in vars(parse_args(["--model", "x"]))


def test_training_commands(tmp_path: Path) -> None:
    """The commands and options of docs/training.md parse, and its recipes are those of the package."""
    page = (ROOT / "docs/training.md").read_text("utf-8")
    commands = re.findall(r"^python -m training (.*)", page.replace("\\\n", " "), re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        recipe, *options = shlex.split(command)
        parse_training([str(ROOT / recipe), *options])
    for options in re.findall(r"`(--[^`]*)`", page):
        argv = [word for word in shlex.split(options) if not word[0].isupper()]
        if len(argv) > 1 and "nproc" not in options:
            parse_training([*argv, "--output_dir", str(tmp_path / "out"), "--teacher", "x"])
    recipes = set(re.findall(r"^\| `([a-z0-9_]+)` \|", page, re.MULTILINE))
    assert recipes == {path.stem for path in (ROOT / "training/recipes").glob("*.json")}
