"""From load to close: settings, warm-up, `info`, pickling."""

import json
import pickle
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from runtime import Classifier, InferenceError, SettingError, __version__, load
from runtime.artifact.folder import sha256
from runtime.engine.session import Session


def test_with_closes(artifact: Path) -> None:
    """A classifier that is closed by `with` raises InferenceError on later calls, and can be closed again."""
    with load(artifact, provider="cpu") as classifier:
        label = classifier.predict("late").label
    with pytest.raises(InferenceError, match="the classifier is closed; load it again"):
        classifier.predict("late")
    classifier.close()
    assert load(artifact, provider="cpu").predict("late").label == label


def test_pickles_as_path_and_options(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier pickles as its path and options, and loads from another working directory."""
    monkeypatch.chdir(artifact.parent)
    classifier = load(artifact.name, provider="cpu", threads=1, profile="shared", batch_tokens=100)
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(classifier)
    assert len(content) < 1000
    again: Classifier = pickle.loads(content)
    assert again.predict("late") == classifier.predict("late")
    assert again.info() == classifier.info()


def test_results_pickle(classifier: Classifier) -> None:
    """Predictions and explanations can be pickled, as worker processes need."""
    found = classifier.predict("late " * 100, windows=True, with_logits=True)
    assert pickle.loads(pickle.dumps(found)) == found
    explained = classifier.explain("it was late")
    assert pickle.loads(pickle.dumps(explained)) == explained


def test_info(artifact: Path, classifier: Classifier) -> None:
    """`info` returns artifact, load options, settings, versions and machine, ready for JSON."""
    found = json.loads(json.dumps(classifier.info()))
    assert found["artifact"]["sha256"] == sha256(artifact / "litmus.json")
    assert found["artifact"]["folder"] == str(artifact)
    assert (found["provider"], found["variant"], found["threads"]) == ("cpu", "fp32", 1)
    assert found["load_options"] == {
        "provider": "cpu",
        "variant": None,
        "threads": 1,
        "profile": "latency",
        "batch_tokens": None,
        "gpu_memory_mb": None,
        "thresholds": None,
    }
    assert found["versions"]["onnxruntime"] == onnxruntime.__version__
    assert found["batch_tokens"] == 512
    assert isinstance(found["exact_int8"], bool)
    assert found["processor"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "fast"}, "profile: expected latency or shared, found 'fast'"),
        ({"batch_tokens": 0}, "batch_tokens: expected a whole number from 1 to 1048576, found 0"),
        ({"batch_tokens": 1 << 30}, "batch_tokens: expected a whole number from 1 to 1048576"),
        ({"gpu_memory_mb": 1.5}, "gpu_memory_mb: expected a whole number of 1 or more, found 1.5"),
    ],
)
def test_wrong_settings(artifact: Path, options: dict[str, Any], message: str) -> None:
    """Wrong settings raise SettingError before anything is read."""
    with pytest.raises(SettingError, match=message):
        load(artifact, provider="cpu", **options)


def test_profiles_differ_in_spinning_alone(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profiles differ only in the spinning options, and their predictions are equal."""
    entries: list[tuple[str, str]] = []
    plain = onnxruntime.SessionOptions.add_session_config_entry

    def record(self: onnxruntime.SessionOptions, key: str, value: str) -> None:
        entries.append((key, value))
        plain(self, key, value)

    monkeypatch.setattr(onnxruntime.SessionOptions, "add_session_config_entry", record)
    shared = load(artifact, provider="cpu", profile="shared")
    asked, entries[:] = {*entries}, []
    latency = load(artifact, provider="cpu")
    assert asked ^ {*entries} == {
        ("session.intra_op.allow_spinning", "0"),
        ("session.intra_op.spin_duration_us", "200"),
    }
    assert shared.predict("late") == latency.predict("late")


def test_warm_up_shapes(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`warm_up` runs a short text, the longest text and the largest batch."""
    shapes: list[tuple[int, ...]] = []
    plain = Session.run

    def record(self: Session, inputs: Any) -> Any:
        shapes.append(inputs["input_ids"].shape)
        return plain(self, inputs)

    monkeypatch.setattr(Session, "run", record)
    load(artifact, provider="cpu", warm_up=True)
    assert shapes == [(1, 8), (1, 48), (10, 48)]


def test_batch_tokens_limit_the_batches(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch has more than `batch_tokens` tokens, padding included."""
    classifier = load(artifact, provider="cpu", batch_tokens=64)
    sizes: list[int] = []
    plain = Session.run

    def record(self: Session, inputs: Any) -> Any:
        sizes.append(inputs["input_ids"].size)
        return plain(self, inputs)

    monkeypatch.setattr(Session, "run", record)
    classifier.predict_many(["late " * (1 + index % 9) for index in range(100)])
    assert max(sizes) <= 64
    assert len(sizes) < 25


def test_version() -> None:
    """The version of the package is that of the wheel."""
    assert __version__ == metadata.version("litmus-onnx")


def test_close_during_calls(artifact: Path) -> None:
    """Running calls finish after `close`, and later ones raise InferenceError."""
    expected = load(artifact, provider="cpu", threads=1).predict("late again")
    for _ in range(5):
        classifier = load(artifact, provider="cpu", threads=1)
        found: list[object] = []

        def classify(classifier: Classifier = classifier, found: list[object] = found) -> None:
            try:
                while True:
                    found.append(classifier.predict("late again"))
            except InferenceError as error:
                found.append(str(error))

        threads = [threading.Thread(target=classify) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(found) < 50:
            time.sleep(0.001)
        classifier.close()
        for thread in threads:
            thread.join()
        ends = [item for item in found if isinstance(item, str)]
        assert ends == ["the classifier is closed; load it again"] * 8
        assert all(item == expected for item in found if not isinstance(item, str))
