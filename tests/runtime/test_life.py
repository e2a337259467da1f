"""From load to close: settings, warm-up, what it says of itself, pickling."""

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
    """Memory is given back; a later call says what to do, and to close again is fine."""
    with load(artifact, provider="cpu") as classifier:
        label = classifier.predict("late").label
    with pytest.raises(InferenceError, match="the classifier is closed; load it again"):
        classifier.predict("late")
    classifier.close()
    assert load(artifact, provider="cpu").predict("late").label == label


def test_pickles_as_path_and_options(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small message, which another process loads from; from another folder, too, if the path was relative."""
    monkeypatch.chdir(artifact.parent)
    classifier = load(artifact.name, provider="cpu", threads=1, profile="shared", batch_tokens=100)
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(classifier)
    assert len(content) < 1000
    again: Classifier = pickle.loads(content)
    assert again.predict("late") == classifier.predict("late")
    assert again.info() == classifier.info()


def test_results_pickle(classifier: Classifier) -> None:
    """They come back from worker processes."""
    found = classifier.predict("late " * 100, windows=True, with_logits=True)
    assert pickle.loads(pickle.dumps(found)) == found
    explained = classifier.explain("it was late")
    assert pickle.loads(pickle.dumps(explained)) == explained


def test_info(artifact: Path, classifier: Classifier) -> None:
    """What a bug report needs, ready for JSON: which artifact, what runs, what was asked for, where."""
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
    """Are refused before anything is read."""
    with pytest.raises(SettingError, match=message):
        load(artifact, provider="cpu", **options)


def test_profiles_differ_in_spinning_alone(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared one's threads sleep between operators; the answers are the same."""
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


def test_warm_up_runs_what_is_largest(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short text, the longest, and the largest batch of those."""
    shapes: list[tuple[int, ...]] = []
    plain = Session.run

    def record(self: Session, inputs: Any) -> Any:
        shapes.append(inputs["input_ids"].shape)
        return plain(self, inputs)

    monkeypatch.setattr(Session, "run", record)
    load(artifact, provider="cpu", warm_up=True)
    assert shapes == [(1, 8), (1, 48), (10, 48)]


def test_batch_tokens_bound_the_batches(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding included."""
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


def test_version_is_one() -> None:
    """The package says the version that the wheel has."""
    assert __version__ == metadata.version("litmus-onnx")


def test_close_while_others_classify(artifact: Path) -> None:
    """Calls under way come to their end, later ones are refused, and nothing else ever comes out."""
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
