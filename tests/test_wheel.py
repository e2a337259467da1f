"""The wheel: its content, and that it predicts in an environment without other packages."""

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from export.__main__ import main as export
from training.arguments import EncoderArguments
from training.model.encoder import load_model, load_tokenizer

from .models import FP32

pytestmark = pytest.mark.registry

ROOT = Path(__file__).parents[1]
MAX_INSTALLED_MB = 200
MAX_PEAK_MB = 150
README = (ROOT / "README.md").read_text("utf-8")
IMPORTED = {"runtime", "numpy", "tokenizers", "onnxruntime"}
INSTALLS = [shlex.split(line, comments=True) for line in re.findall(r"^pip (install .*)", README, re.MULTILINE)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built into a folder `dist` as `make wheel` builds it."""
    folder = tmp_path_factory.mktemp("wheel") / "dist"
    line = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(line, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def lean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with only the wheel and its [cpu] extra, installed as README.md says."""
    folder = tmp_path_factory.mktemp("lean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    pip(wheel, python, INSTALLS[0])
    return python


def pip(wheel: Path, python: Path, arguments: list[str], *options: str) -> str:
    """Runs one of README.md's pip commands for an environment, beside the folder `dist`, with the tested versions."""
    line = [sys.executable, "-m", "pip", "--python", str(python), *arguments, "-c", str(ROOT / "constraints.txt")]
    folder = wheel.parents[1]
    return subprocess.run([*line, *options], check=True, capture_output=True, text=True, cwd=folder).stdout


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of the packaged encoder with a new head: MiniLM-L6 in fp32, 91 MB."""
    folder = tmp_path_factory.mktemp("minilm")
    arguments = EncoderArguments()
    load_model(arguments, ("benign", "malignant"), "single_label").model.save_pretrained(folder / "checkpoint")
    load_tokenizer(arguments).save_pretrained(folder / "checkpoint")
    assert export([str(folder / "checkpoint"), str(folder / "artifact"), *FP32]) == 0
    return folder / "artifact"


def test_wheel_contains_only_the_runtime(wheel: Path) -> None:
    """The wheel contains the modules of the runtime, its pages and their style, the type marker and metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"runtime", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    kept = {".py", ".typed", ".html", ".css", ".js"}
    sources = [path for path in (ROOT / "runtime").rglob("*") if path.suffix in kept]
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    assert {name for name in names if name.startswith("runtime/")} == expected


def test_predicts_without_torch(lean_python: Path, minilm: Path, tmp_path: Path) -> None:
    """The installed wheel predicts without HOME, with LANG=C, and within the stated memory."""
    code = (
        "import json, runtime\n"
        f"prediction = runtime.load({str(minilm)!r}).predict('The nuclei are large and irregular.')\n"
        "peak = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]\n"
        "print(json.dumps([prediction.label, int(peak) / 1024]))"
    )
    environment = {"PATH": os.environ["PATH"], "LANG": "C"}
    line = [str(lean_python), "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    label, peak_mb = json.loads(done.stdout)
    assert label in {"malignant", "benign"}
    assert peak_mb <= MAX_PEAK_MB


def test_command_line_without_torch(lean_python: Path, minilm: Path, tmp_path: Path) -> None:
    """The installed wheel runs `python -m runtime.predict`."""
    line = [str(lean_python), "-m", "runtime.predict", "--model", str(minilm)]
    done = subprocess.run(line, input="one\ntwo\n", capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [json.loads(row)["index"] for row in done.stdout.splitlines()] == [0, 1]
    assert done.stderr == ""


def test_readme_installs_the_wheel(wheel: Path) -> None:
    """The pip commands of README.md name the wheel that is built, with its extra and without dependencies."""
    assert INSTALLS[0] == ["install", f"dist/{wheel.name}[cpu]"]
    assert INSTALLS[1][:3] == ["install", "--no-deps", f"dist/{wheel.name}"]
    assert len(INSTALLS) == 2


def test_readme_installs_without_dependencies(wheel: Path, lean_python: Path) -> None:
    """The pip command without dependencies installs only what the runtime imports."""
    found = pip(wheel, lean_python, INSTALLS[1], "--dry-run", "--ignore-installed")
    (line,) = re.findall(r"^Would install (.*)", found, re.MULTILINE)
    names = {word.rpartition("-")[0] for word in line.split()}
    assert names == {"litmus-onnx", "numpy", "onnxruntime", "tokenizers"}


def test_runs_without_dependencies(lean_python: Path, minilm: Path, tmp_path: Path) -> None:
    """The runtime loads, predicts, explains and verifies with only the packages that it imports."""
    packages = [name for name in site_packages(lean_python) if name not in IMPORTED]
    assert "huggingface_hub" in packages
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({packages!r}))\n"  # None stands for what cannot be imported
        "import runtime, runtime.predict, runtime.verify\n"
        f"classifier = runtime.load({str(minilm)!r})\n"
        "classifier.explain('one two')\n"
        "print(classifier.predict('one').label)\n"
        f"print(runtime.verify.verify({str(minilm)!r}).failures)\n"
    )
    done = subprocess.run([str(lean_python), "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "()"


def test_installed_size(lean_python: Path) -> None:
    """The installed wheel with its dependencies stays below the size limit."""
    folder = next((lean_python.parents[1] / "lib").glob("python*/site-packages"))
    size_mb = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    assert size_mb <= MAX_INSTALLED_MB
    assert not {"torch", "transformers", "onnx", "pandas", "sklearn"} & set(site_packages(lean_python))


def site_packages(python: Path) -> list[str]:
    """Returns the names under which an environment's packages are imported."""
    folder = next((python.parents[1] / "lib").glob("python*/site-packages"))
    names = {path.name.partition(".")[0] for path in folder.iterdir() if path.suffix in {"", ".py", ".so"}}
    return sorted(name for name in names if name.isidentifier())
