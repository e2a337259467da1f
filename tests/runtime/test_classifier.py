"""The contracts of `load`, `predict` and `predict_many`."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Classifier, Prediction, SettingError, TextError, TextTypeError, load

from ..models import LABELS, MAX_LENGTH

TEXTS = (
    "The train was late again.",
    "Hi",
    "A much longer text, with commas, numbers such as 12.5, and a question: does it work? " * 2,
    "Das Café öffnet um 7:30. 次の電車は何時ですか。 🙂",
)
words = st.lists(
    st.sampled_from(["the", "train", "was", "late", "and", "nobody", "said", "why", "3", ",", "."]),
    min_size=1,
    max_size=60,
)


def test_single_label_scores_sum_to_one(classifier: Classifier) -> None:
    """Single-label scores sum to one, in the order of the labels, and the best one gives the label."""
    prediction = classifier.predict(TEXTS[0])
    assert tuple(prediction.scores) == LABELS["single_label"]
    assert sum(prediction.scores.values()) == pytest.approx(1, abs=1e-6)
    assert prediction.label == max(prediction.scores, key=prediction.scores.__getitem__)
    assert prediction.labels == (prediction.label,)


def test_multi_label_gives_every_label_at_its_threshold(multi_label_artifact: Path) -> None:
    """A multi-label prediction has exactly the labels whose scores reach the threshold, best first."""
    classifier = load(multi_label_artifact, provider="cpu")
    counts = set()
    for text in TEXTS:
        prediction = classifier.predict(text)
        expected = [label for label, score in prediction.scores.items() if score >= 0.5]
        assert prediction.labels == tuple(sorted(expected, key=lambda label: -prediction.scores[label]))
        counts.add(len(prediction.labels))
    assert counts != {len(LABELS["multi_label"])}


def test_prediction_is_frozen(classifier: Classifier) -> None:
    """The attributes of a prediction cannot be changed."""
    with pytest.raises(AttributeError):
        classifier.predict("calm").truncated = True  # type: ignore[misc]


@settings(max_examples=30, deadline=None)
@given(st.lists(words, min_size=1, max_size=12))
def test_many_equals_one_by_one(classifier: Classifier, texts: list[list[str]]) -> None:
    """The scores of a text do not depend on its batch or padding, and results keep the order of the texts."""
    joined = [" ".join(text) for text in texts]
    for text, prediction in zip(joined, classifier.predict_many(joined), strict=True):
        alone = classifier.predict(text)
        assert prediction.scores == pytest.approx(alone.scores, abs=1e-5)
        assert (prediction.n_tokens, prediction.truncated) == (alone.n_tokens, alone.truncated)


def test_many_splits_into_batches_under_the_token_limit(classifier: Classifier) -> None:
    """Texts for several batches come back complete and in order."""
    texts = [" ".join(["late"] * (1 + index % 40)) for index in range(300)]
    predictions = classifier.predict_many(texts)
    assert [prediction.n_tokens for prediction in predictions] == [3 + index % 40 for index in range(300)]


def test_many_without_texts(classifier: Classifier) -> None:
    """An empty list of texts gives an empty list."""
    assert classifier.predict_many([]) == []


def test_bare_string(classifier: Classifier) -> None:
    """A single `str` passed to `predict_many` is a TypeError, as it would be split into letters."""
    with pytest.raises(TypeError, match="use predict"):
        classifier.predict_many("late")


def test_truncated(classifier: Classifier) -> None:
    """A text longer than `max_length` is truncated and `truncated` is set; one of exactly that length is whole."""
    fits = classifier.predict(" ".join(["late"] * (MAX_LENGTH - 2)))
    cut = classifier.predict(" ".join(["late"] * (MAX_LENGTH - 1)))
    assert (fits.truncated, fits.n_tokens) == (False, MAX_LENGTH)
    assert (cut.truncated, cut.n_tokens) == (True, MAX_LENGTH)


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b\u200d", "\x00"])
def test_empty_text_is_an_error(classifier: Classifier, text: str) -> None:
    """A text without visible characters raises TextError with advice."""
    with pytest.raises(TextError, match="nothing to classify; leave it out") as caught:
        classifier.predict(text)
    assert caught.value.position == 0


@pytest.mark.parametrize("text", [None, 3, b"late", ["late"]])
def test_text_that_is_not_a_str(classifier: Classifier, text: object) -> None:
    """The error for a text that is not a `str` names its type and never shows its value."""
    with pytest.raises(TextTypeError, match=f"expected str, found {type(text).__name__}") as caught:
        classifier.predict(text)  # type: ignore[arg-type]
    assert "late" not in str(caught.value)


def test_error_names_the_position_and_not_the_text(classifier: Classifier) -> None:
    """The error of one text among several has its position and no text."""
    with pytest.raises(TextError, match=r"^text 1: ") as caught:
        classifier.predict_many(["patient Miller denies pain", "  ", "late"])
    assert caught.value.position == 1
    assert "Miller" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a\ud800b",
        "a\x00b",
        "x" * 1_000_000,
        "漢" * 100_000,
        "a" + "\u0301" * 10_000,
        "\u202eabc",
        "👩‍👩‍👧‍👦👍🏽 🏳️‍🌈",
        "[CLS][SEP]</s><pad>",
    ],
    ids=["surrogate", "nul", "long word", "cjk", "combining", "rtl", "emoji", "special tokens"],
)
def test_odd_texts(classifier: Classifier, text: str) -> None:
    """Odd texts have predictions and do not change those of later texts."""
    before = classifier.predict("late")
    assert isinstance(classifier.predict(text), Prediction)
    assert classifier.predict("late") == before


def test_lone_surrogate_reads_as_replacement_character(classifier: Classifier) -> None:
    """A lone surrogate is read as U+FFFD."""
    assert classifier.predict("a\ud800 b") == classifier.predict("a\ufffd b")


def test_threads_share_a_classifier(classifier: Classifier) -> None:
    """Sixteen threads that share a classifier get the predictions of a single thread."""
    expected = [classifier.predict(text) for text in TEXTS]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(classifier.predict, TEXTS * 1000))
    assert found == expected * 1000


def test_threads_out_of_range(artifact: Path) -> None:
    """A number of threads out of range raises SettingError, because onnxruntime takes 0 as all CPUs."""
    for threads in (0, 257, 1.5, "2", True):
        with pytest.raises(SettingError, match="expected a whole number from 1 to 256"):
            load(artifact, threads=threads)  # type: ignore[arg-type]


def test_logits_of_several_texts(classifier: Classifier) -> None:
    """`logits` returns one row per text, none for no texts, and rejects a bare `str`."""
    assert classifier.logits(["late", "calm"]).shape == (2, 3)
    assert classifier.logits([]).shape == (0, 3)
    with pytest.raises(TypeError, match="use predict"):
        classifier.logits("late")


def test_cleaning_travels_in_the_tokenizer(multi_label_artifact: Path) -> None:
    """The checkpoint's cleaning step is part of the tokenizer and applies in the runtime."""
    classifier = load(multi_label_artifact, provider="cpu")
    assert classifier.predict("DOCTOR:  it is   late") == classifier.predict("it is late")


def test_link_to_the_artifact(artifact: Path, tmp_path: Path) -> None:
    """An artifact can be loaded through a symbolic link to its folder."""
    (tmp_path / "current").symlink_to(artifact)
    assert load(tmp_path / "current", provider="cpu").predict("late").label
