"""`cuda` runs every check of a GPU; here its functions run on the CPU, and a machine without a GPU gets the reason."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.measurements import cuda, tuning


@pytest.mark.slow
def test_every_check_runs(
    trained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the CPU, every contender but compiled PyTorch is measured, and every figure is in report and page."""
    checkpoint, artifact = trained
    monkeypatch.setattr(cuda, "DEVICE", "cpu")
    monkeypatch.setattr(cuda, "SHAPES", ((1, 16), (2, 512)))
    monkeypatch.setattr(cuda, "REPEATS", 2)
    monkeypatch.setattr(cuda, "BATCH_SECONDS", 0.0)
    contenders = cuda._contenders

    def without_compiler(variants: Sequence[str]) -> dict[str, cuda.ContenderSpec]:
        found = contenders(variants)
        assert found.pop("pytorch-fp16-compile").option.endswith(" compile")
        assert found.pop("pytorch-fp16-cuda-graphs").option.endswith(" cuda-graphs")
        return found

    monkeypatch.setattr(cuda, "_contenders", without_compiler)
    output = tmp_path / "cuda.json"
    where = ["--model", artifact, "--checkpoint", checkpoint, "--output", str(output)]
    assert main(["cuda", *where, "--rounds", "1"]) == 0
    report, page = json.loads(output.read_text()), capsys.readouterr().out
    assert set(report["results"]) == {"litmus-fp32", "litmus-int8", "pytorch-fp32", "pytorch-fp16", "pytorch-bf16"}
    for result in report["results"].values():
        assert result["start_s"] > 0
        assert list(result["median_ms"]) == ["1 x 16", "2 x 48"]
        assert min(result["median_ms"].values()) > 0
    assert [outcome for outcome in report["verify"] if ": passed: " in outcome]
    assert report["io_binding"]["tokens"] == 48
    assert report["io_binding"]["bound_us"] > 0
    assert [row["options"]["batch_tokens"] for row in report["batch_tokens"]] == [512, 256, 1024, 2048]
    ours, theirs = (report["results"][name]["median_ms"]["1 x 16"] for name in ("litmus-int8", "pytorch-fp32"))
    assert f"| pytorch-fp32 | {theirs:.2f} **{theirs / ours:.2f}x** |" in page
    assert f"| 512 | {report['batch_tokens'][0]['ms_per_text']:.3f} | 1.00x |" in page


@pytest.mark.skipif("CUDAExecutionProvider" in cuda.onnxruntime.get_available_providers(), reason="there is CUDA")
def test_machine_without_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without CUDA the command says what is missing, before it reads anything."""
    assert main(["cuda", "--model", str(tmp_path), "--checkpoint", str(tmp_path)]) == 1
    assert "pip install onnxruntime-gpu" in capsys.readouterr().err


def test_sizes_of_batches() -> None:
    """The provider's default size of a batch is first."""
    sizes = [setting.options["batch_tokens"] for setting in tuning.batch_sizes({"provider": "cuda"})]
    assert sizes == [16384, 8192, 32768, 65536]
