"""What a call may ask for beyond the artifact's own decisions."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Classifier, Prediction, SettingError, TextTypeError, load

from ..damage import rewrite
from ..models import LABELS

TEXT = "The train was late again."


@pytest.fixture(scope="module")
def multi_label(multi_label_artifact: Path) -> Classifier:
    """Four labels, any number per text."""
    return load(multi_label_artifact, provider="cpu", threads=1)


def test_top_k(classifier: Classifier, multi_label: Classifier) -> None:
    """So many scores, best first, and no more labels than that; more than there are is all."""
    for model in (classifier, multi_label):
        whole = model.predict(TEXT)
        best = sorted(whole.scores.items(), key=lambda item: -item[1])
        assert list(model.predict(TEXT, top_k=2).scores.items()) == best[:2]
        assert list(model.predict(TEXT, top_k=10**9).scores.items()) == best
    given = multi_label.predict(TEXT, thresholds=0.0, top_k=2)
    assert given.labels == tuple(label for label, _ in sorted(given.scores.items(), key=lambda item: -item[1]))
    assert len(given.labels) == 2


def test_threshold_for_all_labels(multi_label: Classifier) -> None:
    """A score that reaches it gives the label; the artifact's own thresholds are as before in the next call."""
    before = multi_label.predict(TEXT)
    level = sorted(before.scores.values())[1]
    found = multi_label.predict(TEXT, thresholds=level)
    assert set(found.labels) == {label for label, score in before.scores.items() if score >= level}
    assert len(found.labels) == 3
    assert multi_label.predict(TEXT) == before


def test_threshold_by_label(multi_label: Classifier) -> None:
    """Labels that are not named keep the artifact's."""
    before = multi_label.predict(TEXT)
    given = before.labels[0]
    assert multi_label.predict(TEXT, thresholds={given: 1}).labels == before.labels[1:]


def test_thresholds_of_all_calls(multi_label: Classifier, multi_label_artifact: Path) -> None:
    """Those given to `load` are at work in every call, and a call may change one of them; they pickle along."""
    first, second = LABELS["multi_label"][:2]
    strict = load(multi_label_artifact, provider="cpu", threads=1, thresholds={first: 1.0, second: 0.0})
    for model in strict, pickle.loads(pickle.dumps(strict)):
        assert second in model.predict(TEXT).labels
        assert first not in model.predict(TEXT).labels
        assert {first, second} <= set(model.predict(TEXT, thresholds={first: 0.0}).labels)
    assert strict.info()["load_options"]["thresholds"] == {first: 1.0, second: 0.0}
    odd = load(multi_label_artifact, provider="cpu", threads=1, thresholds={first: np.float32(0.5)})
    assert json.dumps(odd.info()["load_options"]["thresholds"]) == json.dumps({first: 0.5})
    with pytest.raises(SettingError, match="unknown label"):
        load(multi_label_artifact, provider="cpu", thresholds={"loud": 0.5})


def test_prediction_as_a_dict(classifier: Classifier) -> None:
    """It is ready for JSON, and has logits and windows only if they were asked for."""
    found = classifier.predict(TEXT, with_logits=True)
    content = json.loads(json.dumps(found.to_dict()))
    assert content == {
        "label": found.label,
        "labels": list(found.labels),
        "scores": found.scores,
        "abstained": False,
        "truncated": False,
        "n_tokens": found.n_tokens,
        "logits": list(found.logits or ()),
    }
    windows = json.loads(json.dumps(classifier.predict("late " * 60, windows=True).to_dict()))
    assert "logits" not in windows
    assert [set(window) for window in windows["windows"]] == [{"start", "end", "scores"}] * len(windows["windows"])


def test_prediction_in_short() -> None:
    """Of many labels the highest scores are shown, of many windows how many they are."""
    scores = {f"label {index}": index / 10 for index in range(6)}
    found = Prediction(("label 5",), scores, abstained=False, truncated=True, n_tokens=9)
    assert repr(found) == (
        "Prediction(labels=('label 5',), scores={'label 5': 0.5000, 'label 4': 0.4000, 'label 3': 0.3000, and 3 more}, "
        "truncated=True, n_tokens=9)"
    )


def test_classifier_in_short(classifier: Classifier) -> None:
    """It says what runs where."""
    assert repr(classifier) == "<Classifier 'artifact': fp32 on cpu, 3 labels>"


def test_texts_in_arrays_and_generators(classifier: Classifier) -> None:
    """Texts may come in a NumPy array or a generator, to `logits` as well; an array of arrays is no text."""
    texts = [TEXT, "early"]
    expected = classifier.predict_many(texts)
    assert classifier.predict_many(np.array(texts)) == expected
    assert np.array_equal(classifier.logits(text for text in texts), classifier.logits(texts))
    with pytest.raises(TextTypeError, match="text 0: expected str, found ndarray"):
        classifier.predict_many(np.array([texts]))
    with pytest.raises(TextTypeError, match="expected several texts, found ndarray"):
        classifier.predict_many(np.array("late"))
    with pytest.raises(TextTypeError, match="expected several texts, found int"):
        classifier.logits(3)  # type: ignore[arg-type]


def test_abstaining(classifier: Classifier) -> None:
    """A single-label classifier gives none below the level, and says so; that is not the same as no label reached."""
    sure = classifier.predict(TEXT)
    score = sure.scores[sure.label or ""]
    assert not sure.abstained
    unsure = classifier.predict(TEXT, thresholds=min(1, score + 1e-6))
    assert (unsure.labels, unsure.label, unsure.abstained) == ((), None, True)
    assert not classifier.predict(TEXT, thresholds=score).abstained


def test_no_label_reached_is_not_abstaining(multi_label: Classifier) -> None:
    """None of the labels is a multi-label answer."""
    found = multi_label.predict(TEXT, thresholds=1.0)
    assert (found.labels, found.abstained) == ((), False)


def test_abstain_level_of_the_artifact(copy: Path) -> None:
    """It is at work without being asked for, and a call may lower it."""
    rewrite(copy, lambda fields: fields.update(abstain_below=1.0))
    classifier = load(copy, provider="cpu")
    assert classifier.predict(TEXT).abstained
    assert classifier.predict(TEXT, thresholds=0).label


def test_logits_on_request(classifier: Classifier) -> None:
    """Those of `logits`, one per label; None unless asked for."""
    assert classifier.predict(TEXT).logits is None
    assert classifier.predict(TEXT, with_logits=True).logits == tuple(classifier.logits([TEXT])[0].tolist())


def test_options_are_the_same_for_one_and_many(classifier: Classifier) -> None:
    """And for a stream."""
    options: dict[str, Any] = {"top_k": 1, "thresholds": 0.9, "with_logits": True, "windows": "max"}
    texts = [TEXT, "late " * 100]
    one_by_one = [classifier.predict(text, **options) for text in texts]
    for found in classifier.predict_many(texts, **options), [*classifier.predict_iter(texts, **options)]:
        assert [item.label for item in found] == [item.label for item in one_by_one]
        for item, expected in zip(found, one_by_one, strict=True):
            assert item.scores == pytest.approx(expected.scores, abs=1e-5)
            assert item.windows[0].logits == pytest.approx(expected.windows[0].logits, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k: expected a whole number of 1 or more, found 0"),
        ({"top_k": True}, "top_k: expected a whole number"),
        ({"top_k": "2"}, "top_k: expected a whole number"),
        ({"top_k": 10**5000}, "top_k: expected a whole number of 1 or more, found a number of 16610 bits"),
        ({"top_k": np.array([1, 2])}, r"top_k: expected a whole number of 1 or more, found array\(\[1, 2\]\)"),
        ({"thresholds": 10**5000}, "thresholds: expected numbers from 0 to 1, found a number of 16610 bits"),
        ({"thresholds": np.array([0.5])}, "thresholds: expected numbers from 0 to 1"),
        ({"thresholds": -1}, "thresholds: expected numbers from 0 to 1, found -1"),
        ({"thresholds": float("nan")}, "thresholds: expected numbers from 0 to 1, found nan"),
        ({"thresholds": "0.5"}, "thresholds: expected numbers from 0 to 1"),
        (
            {"thresholds": {"calm": 0.5}},
            "thresholds: expected one number for a single-label model, found a mapping by label",
        ),
        ({"thresholds": {"loud": 0.5}}, "unknown label, expected some of calm, glad, sad"),
        ({"windows": np.array([1, 2])}, "windows: expected True, False, 'max' or 'mean'"),
        ({"windows": "median"}, "windows: expected True, False, 'max' or 'mean', found 'median'"),
    ],
)
def test_wrong_options(classifier: Classifier, options: dict[str, Any], message: str) -> None:
    """Are refused before anything runs, also of a stream that nobody has begun to read."""
    with pytest.raises(SettingError, match=message):
        classifier.predict(TEXT, **options)
    with pytest.raises(SettingError, match=message):
        classifier.predict_iter([TEXT], **options)


def test_windows_of_a_long_text(classifier: Classifier) -> None:
    """They overlap, cover all of the text, say what each of them alone says, and are put together by the mean."""
    text = " ".join(f"word{index} late" for index in range(60))
    found = classifier.predict(text, windows=True)
    assert not found.truncated
    assert classifier.predict(text).truncated
    assert (found.windows[0].start, found.windows[-1].end) == (0, len(text))
    for earlier, later in zip(found.windows, found.windows[1:], strict=False):
        assert earlier.start < later.start < earlier.end < later.end
    for window in found.windows:
        alone = classifier.predict(text[window.start : window.end])
        assert window.scores == pytest.approx(alone.scores, abs=1e-5)
    mean = np.mean([list(window.scores.values()) for window in found.windows], axis=0)
    assert list(found.scores.values()) == pytest.approx(mean.tolist())
    assert found.n_tokens > len(found.windows) * 40


def test_stride_of_the_artifact(copy: Path) -> None:
    """Windows begin so many tokens apart, whatever the special tokens."""
    text = "late " * 100
    for stride, starts in (40, [0, 200, 400]), (20, [0, 100, 200, 300]), (48, [0, 230, 460]):
        rewrite(copy, lambda fields, stride=stride: fields["window"].update(stride=stride))
        found = load(copy, provider="cpu").predict(text, windows=True)
        assert [window.start for window in found.windows][: len(starts)] == starts


def test_windows_by_the_highest_score(multi_label: Classifier) -> None:
    """What the multi-label artifact says, and what may be asked for; a single-label artifact's sum to one."""
    text = " ".join(f"word{index} late" for index in range(60))
    found = multi_label.predict(text, windows=True)
    for label in LABELS["multi_label"]:
        assert found.scores[label] == max(window.scores[label] for window in found.windows)
    assert multi_label.predict(text, windows="mean").scores != found.scores


def test_windows_of_a_short_text(classifier: Classifier) -> None:
    """One, and the same answer as without."""
    found, plain = classifier.predict(TEXT, windows="max", with_logits=True), classifier.predict(TEXT, with_logits=True)
    assert (found.labels, found.scores, found.logits) == (plain.labels, plain.scores, plain.logits)
    assert [(window.start, window.end, window.logits) for window in found.windows] == [(0, len(TEXT), plain.logits)]
    assert plain.windows == ()


def test_windows_and_scores_sum_to_one(classifier: Classifier) -> None:
    """However they are put together."""
    for how in ("max", "mean"):
        found = classifier.predict("late " * 300, windows=how)  # type: ignore[arg-type]
        assert isinstance(found, Prediction)
        assert sum(found.scores.values()) == pytest.approx(1)
