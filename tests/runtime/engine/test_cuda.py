"""The CUDA path, as far as a CPU can show: options, IO binding, buckets, and what happens if CUDA does not work."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from runtime import Classifier, ProviderError, load
from runtime.engine import cuda, providers, session
from runtime.engine.cuda import BUCKET, Graphs, provider_options, run_bound

Inputs = dict[str, npt.NDArray[np.int64]]


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU under the name of CUDA: everything but the device is as it would be."""
    names = {"cuda": "CPUExecutionProvider", "cpu": "CPUExecutionProvider"}
    monkeypatch.setattr(providers, "PROVIDERS", names)
    monkeypatch.setattr(session, "PROVIDERS", names)
    monkeypatch.setattr(session, "provider_options", lambda *_, **__: {})
    monkeypatch.setattr(session, "Graphs", lambda *args, **kwargs: Graphs(*args, **kwargs | {"device": "cpu"}))


def inputs(classifier: Classifier, *texts: str) -> Inputs:
    """Returns what the model reads, by name."""
    tokenizer = classifier._tokenizer
    padded = tokenizer.pad(tokenizer.encode_many(texts))
    return {name: padded[name] for name in classifier._session._inputs}


def test_provider_options() -> None:
    """As onnxruntime's CUDA provider reads them; none unless asked for."""
    assert provider_options(None, graphs=False) == {}
    limited = {"gpu_mem_limit": str(2 * 1024**3), "arena_extend_strategy": "kSameAsRequested"}
    assert provider_options(2048, graphs=True) == {"enable_cuda_graph": "1"} | limited


def test_bound_run(classifier: Classifier) -> None:
    """IO binding gives what a plain run gives, for any shape."""
    for texts in ["late"], ["late", "the train was late again"]:
        expected = classifier.logits(texts)
        for graphs in False, True:
            found = run_bound(classifier._session._session, inputs(classifier, *texts), "logits", graphs=graphs)
            np.testing.assert_array_equal(found, expected)


def test_graphs_pad_to_buckets(classifier: Classifier) -> None:
    """The answers are those of the text alone, a bucket's buffers serve many texts, and the last bucket is cut."""
    graphs = Graphs(classifier._session._session, "logits", 3, longest=48, device="cpu")
    for length in (1, 5, 30, 31, 40, 46, 2):
        text = "late " * length
        np.testing.assert_allclose(graphs.run(inputs(classifier, text)), classifier.logits([text]), atol=1e-5)
    assert sorted(graphs._buckets) == [BUCKET, 48]


def test_graphs_take_turns(classifier: Classifier) -> None:
    """Threads share the buffers of a bucket, one after the other."""
    graphs = Graphs(classifier._session._session, "logits", 3, longest=48, device="cpu")
    texts = ["late", "the train was late", "nobody said why " * 5]
    expected = [classifier.logits([text]) for text in texts]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda text: graphs.run(inputs(classifier, text)), texts * 60))
    for logits, other in zip(found, expected * 60, strict=True):
        np.testing.assert_allclose(logits, other, atol=1e-5)


@pytest.mark.parametrize("graphs", [False, True])
def test_whole_way(artifact: Path, classifier: Classifier, pretended: None, graphs: bool) -> None:
    """A classifier on "CUDA" gives the CPU's answers, alone and in batches, and runs what is meant for CUDA."""
    found = load(artifact, provider="cuda", cuda_graphs=graphs)
    assert (found.provider, found.variant) == ("cuda", "fp32")
    assert found.info()["batch_tokens"] == 16384
    texts = ["late", "the train was late again", "late " * 100]
    for prediction, expected in zip(found.predict_many(texts), classifier.predict_many(texts), strict=True):
        assert prediction.scores == pytest.approx(expected.scores, abs=1e-5)
    assert found.predict("late").scores == pytest.approx(classifier.predict("late").scores, abs=1e-5)
    assert (found._session._graphs is not None) == graphs


def test_graphs_serve_single_texts(artifact: Path, pretended: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those, and no batches."""
    lengths: list[int] = []
    plain = Graphs.run

    def record(self: Graphs, given: Inputs) -> Any:
        lengths.append(given["input_ids"].shape[1])
        return plain(self, given)

    monkeypatch.setattr(Graphs, "run", record)
    found = load(artifact, provider="cuda", cuda_graphs=True)
    lengths.clear()
    found.predict_many(["late", "it was late"])
    assert lengths == []
    found.predict("late")
    assert lengths == [3]


def test_warm_up_records_every_graph(artifact: Path, pretended: None) -> None:
    """One for each bucket, and the last one, which is cut."""
    found = load(artifact, provider="cuda", cuda_graphs=True, warm_up=True)
    assert sorted(found._session._graphs._buckets) == [32, 48]


def test_cuda_that_starts_and_cannot_run(artifact: Path, pretended: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is too old starts and has no kernels: an error if it was asked for, the CPU if not."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error 209: no kernel image is available")

    monkeypatch.setattr(session, "run_bound", fail)
    with pytest.raises(ProviderError, match=r"cuda starts but cannot run the model here.*no kernel image"):
        load(artifact, provider="cuda")
    assert load(artifact).provider == "cpu"


def test_gpu_memory_in_the_options(artifact: Path, pretended: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for reaches the provider."""
    given: list[Any] = []
    plain = onnxruntime.InferenceSession

    def record(*args: object, providers: list[tuple[str, dict[str, str]]], **kwargs: object) -> object:
        given.append(providers[0][1])
        return plain(*args, providers=[providers[0][0]], **kwargs)

    monkeypatch.setattr(session, "provider_options", cuda.provider_options)
    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    load(artifact, provider="cuda", gpu_memory_mb=100)
    assert given[-1]["gpu_mem_limit"] == str(100 << 20)
