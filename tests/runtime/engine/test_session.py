"""Sessions: providers, installed distributions of onnxruntime, and memory mapping."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from runtime import Classifier, DependencyError, ProviderError, load
from runtime.engine import providers
from runtime.engine.model_file import strip_weights


def test_unknown_provider(artifact: Path) -> None:
    """The error for an unknown provider lists the known ones."""
    with pytest.raises(ProviderError, match="unknown provider 'tpu': expected auto, cpu, cuda"):
        load(artifact, provider="tpu")  # type: ignore[arg-type]


def test_cuda_without_cuda_is_an_error(artifact: Path) -> None:
    """A request for CUDA where there is none is an error and never runs on the CPU."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match=r"'cuda' is not in this onnxruntime.*pip install onnxruntime-gpu"):
        load(artifact, provider="cuda")


def test_auto_takes_the_cpu_where_there_is_no_cuda(classifier: Classifier, artifact: Path) -> None:
    """`auto` runs on the CPU if there is no CUDA, with the same scores."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    automatic = load(artifact)
    assert automatic.provider == "cpu"
    assert automatic.predict("late").scores == pytest.approx(classifier.predict("late").scores, abs=1e-6)


def test_auto_falls_back_if_cuda_does_not_start(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` means the CPU where onnxruntime lists CUDA but cannot start it; `cuda` is an error there."""
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


def test_two_onnxruntimes(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading fails if onnxruntime and onnxruntime-gpu are both installed, and says what to uninstall."""
    for name in ("onnxruntime-1.31.1.dist-info", "onnxruntime_gpu-1.31.1.dist-info"):
        (tmp_path / name).mkdir()
    assert Path(onnxruntime.__file__).parents[1] == providers.PACKAGES
    assert list(providers.PACKAGES.glob("onnxruntime*.dist-info"))
    monkeypatch.setattr(providers, "PACKAGES", tmp_path)
    with pytest.raises(DependencyError, match=r"overwrite each other.*pip uninstall both"):
        load(artifact)


def test_no_onnxruntime() -> None:
    """Importing the runtime without onnxruntime raises an error that says what to install."""
    code = "import sys; sys.modules['onnxruntime'] = None; import runtime"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DependencyError: onnxruntime is not installed: pip install onnxruntime, or" in done.stderr


def test_model_without_weights(artifact: Path) -> None:
    """A model whose weights were replaced by references is small and computes bit-identical logits."""
    path = artifact / "onnx/model.onnx"
    content = path.read_bytes()
    small = strip_weights(memoryview(content), path.name)
    assert len(small) < len(content) / 20
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    ids = np.arange(2, 12, dtype=np.int64)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    providers = ["CPUExecutionProvider"]
    (mapped,) = onnxruntime.InferenceSession(small, options, providers=providers).run(None, inputs)
    (whole,) = onnxruntime.InferenceSession(content, providers=providers).run(None, inputs)
    np.testing.assert_array_equal(mapped, whole)
