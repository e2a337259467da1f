"""Providers, threads and memory mapping."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from runtime import Classifier, DependencyError, ProviderError, load
from runtime.onnx_file import skeleton
from runtime.session import available_cpus


def test_unknown_provider(artifact: Path) -> None:
    """The message lists those there are."""
    with pytest.raises(ProviderError, match="unknown provider 'tpu': expected auto, cpu, cuda"):
        load(artifact, provider="tpu")  # type: ignore[arg-type]


def test_cuda_without_cuda_is_an_error(artifact: Path) -> None:
    """CUDA that was asked for and is not there is never a silent CPU run."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match=r"'cuda' is not in this onnxruntime.*litmus-onnx\[gpu\]"):
        load(artifact, provider="cuda")


def test_auto_takes_the_cpu_where_there_is_no_cuda(classifier: Classifier, artifact: Path) -> None:
    """And gives the same answer."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    automatic = load(artifact)
    assert automatic.provider == "cpu"
    assert automatic.predict("late").scores == pytest.approx(classifier.predict("late").scores, abs=1e-6)


def test_auto_falls_back_if_cuda_does_not_start(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu lists CUDA on machines that have none; `auto` then means the CPU, `cuda` an error."""
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    if (
        "CUDAExecutionProvider"
        in onnxruntime.InferenceSession(
            str(artifact / "onnx/model.onnx"), providers=["CPUExecutionProvider"]
        ).get_providers()
    ):
        pytest.skip("CUDA works here")
    assert load(artifact).provider == "cpu"
    with pytest.raises(ProviderError, match="CUDAExecutionProvider did not start"):
        load(artifact, provider="cuda")


def test_two_onnxruntimes(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both distributions overwrite each other's files: the message says what to do."""
    both = [SimpleNamespace(name="onnxruntime"), SimpleNamespace(name="onnxruntime-gpu")]
    monkeypatch.setattr(metadata, "distributions", lambda: both)
    with pytest.raises(DependencyError, match=r"overwrite each other.*litmus-onnx\[cpu\]"):
        load(artifact)


def test_no_onnxruntime() -> None:
    """The message names the extra to install."""
    code = "import sys; sys.modules['onnxruntime'] = None; import runtime"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DependencyError: onnxruntime is not installed: pip install 'litmus-onnx[cpu]'" in done.stderr


def test_threads(artifact: Path) -> None:
    """One per CPU of this process's affinity at most, or as many as asked for."""
    assert 1 <= load(artifact, provider="cpu").threads <= len(os.sched_getaffinity(0))
    assert load(artifact, provider="cpu", threads=1).threads == 1


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2),
        ("0::/host/path", {"cpu.max": "200000 100000"}, 2),
        ("3:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, 2),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("0::/", {"cpu.max": "garbage"}, 8),
    ],
)
def test_cpu_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], cpus: int
) -> None:
    """The tightest quota of the control group and those above it, versions 1 and 2; half a CPU is one thread."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name, content in (files | {"../../../proc/self/cgroup": f"12:memory:/x\n{groups}\n"}).items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert available_cpus(tmp_path) == cpus


def test_quantized_kernels_never_saturate(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this option int8 gives wrong answers on x86 without VNNI; it must be set for every session."""
    entries = {}
    original = onnxruntime.SessionOptions.add_session_config_entry

    def record(options: onnxruntime.SessionOptions, key: str, value: str) -> None:
        entries[key] = value
        original(options, key, value)

    monkeypatch.setattr(onnxruntime.SessionOptions, "add_session_config_entry", record)
    load(artifact, provider="cpu")
    assert entries["session.x64quantprecision"] == "1"


def test_skeleton_leaves_the_weights_in_the_file(artifact: Path) -> None:
    """The copy has the structure, not the weights, and computes the same to the last bit."""
    path = artifact / "onnx/model.onnx"
    content = path.read_bytes()
    small = skeleton(memoryview(content), path.name)
    assert len(small) < len(content) / 20
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    ids = np.arange(2, 12, dtype=np.int64)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    providers = ["CPUExecutionProvider"]
    (mapped,) = onnxruntime.InferenceSession(small, options, providers=providers).run(None, inputs)
    (whole,) = onnxruntime.InferenceSession(content, providers=providers).run(None, inputs)
    np.testing.assert_array_equal(mapped, whole)
