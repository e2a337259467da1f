"""Which variant runs on which provider."""

from collections.abc import Sequence

import onnxruntime
import pytest

from runtime import ArtifactError, ProviderError
from runtime.artifact.manifest import Precision, Variant
from runtime.engine.providers import provider_candidates

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MEANT: dict[Precision, tuple[str, ...]] = {"fp32": (CUDA, CPU), "int8": (CPU,), "fp16": (CUDA,)}


def variants(*names: Precision) -> list[Variant]:
    """Returns variants as the export writes them."""
    return [Variant(name, f"onnx/{name}.onnx", MEANT[name], "onnxruntime", None, {}, ()) for name in names]


def chosen(provider: str, have: Sequence[Variant], name: str | None = None) -> list[tuple[str, str]]:
    """Returns the providers to try, each with its variant's name."""
    return [(provider, variant.name) for provider, variant in provider_candidates(provider, name, have)]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that has CUDA."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that has none."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider", CPU])


@pytest.mark.parametrize(
    ("names", "on_cpu", "on_cuda"),
    [
        (("fp32",), "fp32", "fp32"),
        (("fp32", "int8"), "int8", "fp32"),
        (("fp32", "fp16"), "fp32", "fp16"),
        (("fp32", "int8", "fp16"), "int8", "fp16"),
        (("fp16", "int8", "fp32"), "int8", "fp16"),
    ],
)
def test_fastest_for_the_provider(cuda: None, names: tuple[Precision, ...], on_cpu: str, on_cuda: str) -> None:
    """int8 on a CPU, fp16 on CUDA, else fp32; their order in the manifest does not matter."""
    have = variants(*names)
    assert chosen("cpu", have) == [("cpu", on_cpu)]
    assert chosen("cuda", have) == [("cuda", on_cuda)]
    assert chosen("auto", have) == [("cuda", on_cuda), ("cpu", on_cpu)]


def test_auto_without_cuda(no_cuda: None) -> None:
    """Is the CPU, and nothing else is tried."""
    assert chosen("auto", variants("fp32", "int8", "fp16")) == [("cpu", "int8")]


def test_fp16_never_runs_on_a_cpu(cuda: None) -> None:
    """Ten times slower than int8: not by itself, not by name."""
    assert chosen("auto", variants("fp16")) == [("cuda", "fp16")]
    for name in (None, "fp16"):
        with pytest.raises(ProviderError, match=f"nothing to run on provider 'cpu': the artifact has fp16 for {CUDA}"):
            provider_candidates("cpu", name, variants("fp16"))
    with pytest.raises(ProviderError, match=f"nothing to run on provider 'cpu': the artifact has fp16 for {CUDA}"):
        provider_candidates("cpu", "fp16", variants("fp16", "fp32"))


def test_int8_never_runs_on_cuda(cuda: None) -> None:
    """Fifteen times slower than fp16, because onnxruntime moves it to the CPU and back."""
    assert chosen("auto", variants("int8")) == [("cpu", "int8")]
    for have in (variants("int8"), variants("fp32", "int8")):
        with pytest.raises(ProviderError, match=f"nothing to run on provider 'cuda': the artifact has int8 for {CPU}"):
            provider_candidates("cuda", "int8", have)


def test_nothing_for_this_machine(no_cuda: None) -> None:
    """The message has what the artifact is for, and what is here."""
    with pytest.raises(ProviderError, match=f"has fp16 for {CUDA}; this onnxruntime has AzureExecutionProvider, {CPU}"):
        provider_candidates("auto", None, variants("fp16"))


def test_variant_by_name(cuda: None) -> None:
    """To compare them: it runs wherever it is meant for."""
    have = variants("fp32", "int8", "fp16")
    assert chosen("auto", have, "fp32") == [("cuda", "fp32"), ("cpu", "fp32")]
    assert chosen("auto", have, "int8") == [("cpu", "int8")]
    assert chosen("auto", have, "fp16") == [("cuda", "fp16")]
    assert chosen("cpu", have, "fp32") == [("cpu", "fp32")]


def test_unknown_variant(cuda: None) -> None:
    """The message lists those there are."""
    with pytest.raises(ArtifactError, match="variant 'int4' is not in this artifact; it has: fp32, int8"):
        provider_candidates("cpu", "int4", variants("fp32", "int8"))


def test_cuda_without_cuda(no_cuda: None) -> None:
    """Whatever the artifact has, it is an error that says what to install."""
    with pytest.raises(ProviderError, match=r"'cuda' is not in this onnxruntime.*pip install onnxruntime-gpu"):
        provider_candidates("cuda", None, variants("fp32", "int8", "fp16"))
