"""The wheel: what it holds, and that it predicts in an environment that has nothing else."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from export.__main__ import main as export
from tests.models import FP32
from training.arguments import EncoderArguments
from training.encoder import load_model, load_tokenizer

pytestmark = pytest.mark.registry

ROOT = Path(__file__).parents[1]
MAX_INSTALLED_MB = 200
MAX_PEAK_MB = 150


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(line, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def lean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and its [cpu] extra alone."""
    folder = tmp_path_factory.mktemp("lean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    line = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*line, f"{wheel}[cpu]"], check=True, capture_output=True)
    return python


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged encoder with a new head, exported: MiniLM-L6 in fp32, 91 MB."""
    folder = tmp_path_factory.mktemp("minilm")
    arguments = EncoderArguments()
    load_model(arguments, ("benign", "malignant"), "single_label").model.save_pretrained(folder / "checkpoint")
    load_tokenizer(arguments).save_pretrained(folder / "checkpoint")
    assert export([str(folder / "checkpoint"), str(folder / "artifact"), *FP32]) == 0
    return folder / "artifact"


def test_wheel_holds_the_runtime_alone(wheel: Path) -> None:
    """What a service embeds: the runtime's modules, its type marker, metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"runtime", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    expected = {f"runtime/{path.name}" for path in (ROOT / "runtime").iterdir() if path.suffix in {".py", ".typed"}}
    assert {name for name in names if name.startswith("runtime/")} == expected


@pytest.mark.slow
def test_predicts_without_torch(lean_python: Path, minilm: Path, tmp_path: Path) -> None:
    """From the wheel alone, in another folder, with no HOME and LANG=C; within the promised memory."""
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


@pytest.mark.slow
def test_command_line_without_torch(lean_python: Path, minilm: Path, tmp_path: Path) -> None:
    """`python -m runtime.predict` on an edge box."""
    line = [str(lean_python), "-m", "runtime.predict", "--model", str(minilm)]
    done = subprocess.run(line, input="one\ntwo\n", capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [json.loads(row)["index"] for row in done.stdout.splitlines()] == [0, 1]
    assert done.stderr == ""


@pytest.mark.slow
def test_installed_size(lean_python: Path) -> None:
    """All that the wheel brings along stays small enough for an edge box."""
    site_packages = next((lean_python.parents[1] / "lib").glob("python*/site-packages"))
    size_mb = sum(path.stat().st_size for path in site_packages.rglob("*") if path.is_file()) / 1e6
    assert size_mb <= MAX_INSTALLED_MB
    for heavy in ("torch", "transformers", "onnx", "pandas", "sklearn"):
        assert not (site_packages / heavy).exists()
