"""The CUDA path as far as a CPU can test it: options, IO binding, and errors when CUDA does not work."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from runtime import Classifier, ProviderError, load
from runtime.engine import cuda, inference_session, providers, session
from runtime.engine.cuda import provider_options, run_bound

Inputs = dict[str, npt.NDArray[np.int64]]


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the CPU provider under the name of CUDA, so that only the device differs."""
    names = {"cuda": "CPUExecutionProvider", "cpu": "CPUExecutionProvider"}
    monkeypatch.setattr(providers, "PROVIDERS", names)
    monkeypatch.setattr(inference_session, "PROVIDERS", names)
    monkeypatch.setattr(inference_session, "provider_options", lambda _: {})


def inputs(classifier: Classifier, *texts: str) -> Inputs:
    """Returns what the model reads, by name."""
    tokenizer = classifier._tokenizer
    padded = tokenizer.pad(tokenizer.encode_many(texts))
    return {name: padded[name] for name in classifier._session._inputs}


def test_provider_options() -> None:
    """The memory limit is passed as onnxruntime's CUDA provider reads it; without a limit there are no options."""
    assert provider_options(None) == {}
    assert provider_options(2048) == {
        "gpu_mem_limit": str(2 * 1024**3),
        "arena_extend_strategy": "kSameAsRequested",
    }


def test_bound_run(classifier: Classifier) -> None:
    """IO binding returns the logits of a plain run, for any shape."""
    for texts in ["late"], ["late", "the train was late again"]:
        found = run_bound(classifier._session._session, inputs(classifier, *texts), "logits")
        np.testing.assert_array_equal(found, classifier.logits(texts))


def test_whole_way(artifact: Path, classifier: Classifier, pretended: None) -> None:
    """A classifier on "CUDA" gives the CPU's predictions, alone and in batches, and runs the variant for CUDA."""
    found = load(artifact, provider="cuda", warm_up=True)
    assert (found.provider, found.variant) == ("cuda", "fp32")
    assert found.info()["batch_tokens"] == 16384
    texts = ["late", "the train was late again", "late " * 100]
    for prediction, expected in zip(found.predict_many(texts), classifier.predict_many(texts), strict=True):
        assert prediction.scores == pytest.approx(expected.scores, abs=1e-5)
    assert found.predict("late").scores == pytest.approx(classifier.predict("late").scores, abs=1e-5)


def test_cuda_that_starts_and_cannot_run(artifact: Path, pretended: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without kernels for the model is an error if CUDA was requested, and `auto` falls back to the CPU."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error 209: no kernel image is available")

    monkeypatch.setattr(session, "run_bound", fail)
    with pytest.raises(ProviderError, match=r"cuda starts but cannot run the model here.*no kernel image"):
        load(artifact, provider="cuda")
    assert load(artifact).provider == "cpu"


def test_gpu_memory_in_the_options(artifact: Path, pretended: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The requested memory limit reaches the provider."""
    given: list[Any] = []
    plain = onnxruntime.InferenceSession

    def record(*args: object, providers: list[tuple[str, dict[str, str]]], **kwargs: object) -> object:
        given.append(providers[0][1])
        return plain(*args, providers=[providers[0][0]], **kwargs)

    monkeypatch.setattr(inference_session, "provider_options", cuda.provider_options)
    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    load(artifact, provider="cuda", gpu_memory_mb=100)
    assert given[-1]["gpu_mem_limit"] == str(100 << 20)
