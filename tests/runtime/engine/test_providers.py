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


def candidates(provider: str, have: Sequence[Variant], name: str | None = None) -> list[tuple[str, str]]:
    """Returns the providers to try, each with its variant's name."""
    return [(provider, variant.name) for provider, variant in provider_candidates(provider, name, have)]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime with CUDA."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime without CUDA."""
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
    """A CPU gets int8, CUDA gets fp16, both else fp32, whatever the order in the manifest."""
    have = variants(*names)
    assert candidates("cpu", have) == [("cpu", on_cpu)]
    assert candidates("cuda", have) == [("cuda", on_cuda)]
    assert candidates("auto", have) == [("cuda", on_cuda), ("cpu", on_cpu)]


def test_auto_without_cuda(no_cuda: None) -> None:
    """`auto` means the CPU alone if onnxruntime does not have CUDA."""
    assert candidates("auto", variants("fp32", "int8", "fp16")) == [("cpu", "int8")]


def test_fp16_never_runs_on_a_cpu(cuda: None) -> None:
    """fp16, which is ten times slower than int8 on a CPU, does not run there, not even by name."""
    assert candidates("auto", variants("fp16")) == [("cuda", "fp16")]
    for name in (None, "fp16"):
        with pytest.raises(ProviderError, match=f"nothing to run on provider 'cpu': the artifact has fp16 for {CUDA}"):
            provider_candidates("cpu", name, variants("fp16"))
    with pytest.raises(ProviderError, match=f"nothing to run on provider 'cpu': the artifact has fp16 for {CUDA}"):
        provider_candidates("cpu", "fp16", variants("fp16", "fp32"))


def test_int8_never_runs_on_cuda(cuda: None) -> None:
    """int8, which is fifteen times slower than fp16 on CUDA, does not run there, not even by name."""
    assert candidates("auto", variants("int8")) == [("cpu", "int8")]
    for have in (variants("int8"), variants("fp32", "int8")):
        with pytest.raises(ProviderError, match=f"nothing to run on provider 'cuda': the artifact has int8 for {CPU}"):
            provider_candidates("cuda", "int8", have)


def test_no_variant_for_this_machine(no_cuda: None) -> None:
    """The error has the providers that the artifact is for and those of this onnxruntime."""
    with pytest.raises(ProviderError, match=f"has fp16 for {CUDA}; this onnxruntime has AzureExecutionProvider, {CPU}"):
        provider_candidates("auto", None, variants("fp16"))


def test_variant_by_name(cuda: None) -> None:
    """A variant that is requested by name runs on every provider that it is for."""
    have = variants("fp32", "int8", "fp16")
    assert candidates("auto", have, "fp32") == [("cuda", "fp32"), ("cpu", "fp32")]
    assert candidates("auto", have, "int8") == [("cpu", "int8")]
    assert candidates("auto", have, "fp16") == [("cuda", "fp16")]
    assert candidates("cpu", have, "fp32") == [("cpu", "fp32")]


def test_unknown_variant(cuda: None) -> None:
    """The error for an unknown variant lists those of the artifact."""
    with pytest.raises(ArtifactError, match="variant 'int4' is not in this artifact; it has: fp32, int8"):
        provider_candidates("cpu", "int4", variants("fp32", "int8"))


def test_cuda_that_is_not_available(no_cuda: None) -> None:
    """`cuda` without CUDA is an error that says what to install, whatever variants the artifact has."""
    with pytest.raises(ProviderError, match=r"'cuda' is not in this onnxruntime.*pip install onnxruntime-gpu"):
        provider_candidates("cuda", None, variants("fp32", "int8", "fp16"))
