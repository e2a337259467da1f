"""What `load`, `predict` and `predict_many` promise."""

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
    """Softmax: one score per label, in the manifest's order, summing to one; the best is the label."""
    prediction = classifier.predict(TEXTS[0])
    assert tuple(prediction.scores) == LABELS["single_label"]
    assert sum(prediction.scores.values()) == pytest.approx(1, abs=1e-6)
    assert prediction.label == max(prediction.scores, key=prediction.scores.__getitem__)
    assert prediction.labels == (prediction.label,)


def test_multi_label_gives_every_label_at_its_threshold(multi_label_artifact: Path) -> None:
    """Sigmoid: labels are exactly those whose score reaches 0.5, best first."""
    classifier = load(multi_label_artifact, provider="cpu")
    counts = set()
    for text in TEXTS:
        prediction = classifier.predict(text)
        expected = [label for label, score in prediction.scores.items() if score >= 0.5]
        assert prediction.labels == tuple(sorted(expected, key=lambda label: -prediction.scores[label]))
        counts.add(len(prediction.labels))
    assert counts != {len(LABELS["multi_label"])}


def test_prediction_is_frozen(classifier: Classifier) -> None:
    """A result cannot be changed by accident."""
    with pytest.raises(AttributeError):
        classifier.predict("calm").truncated = True  # type: ignore[misc]


@settings(max_examples=30, deadline=None)
@given(st.lists(words, min_size=1, max_size=12))
def test_many_equals_one_by_one(classifier: Classifier, texts: list[list[str]]) -> None:
    """A text's scores do not depend on its neighbours or their padding, and results keep the order of the texts."""
    joined = [" ".join(text) for text in texts]
    for text, prediction in zip(joined, classifier.predict_many(joined), strict=True):
        alone = classifier.predict(text)
        assert prediction.scores == pytest.approx(alone.scores, abs=1e-5)
        assert (prediction.n_tokens, prediction.truncated) == (alone.n_tokens, alone.truncated)


def test_many_splits_into_batches_under_the_token_budget(classifier: Classifier) -> None:
    """More texts than one batch holds still come back complete and in order."""
    texts = [" ".join(["late"] * (1 + index % 40)) for index in range(300)]
    predictions = classifier.predict_many(texts)
    assert [prediction.n_tokens for prediction in predictions] == [3 + index % 40 for index in range(300)]


def test_many_of_none(classifier: Classifier) -> None:
    """No texts, no predictions."""
    assert classifier.predict_many([]) == []


def test_a_bare_string_is_not_many_texts(classifier: Classifier) -> None:
    """One str passed to predict_many would be taken for a list of letters."""
    with pytest.raises(TypeError, match="use predict"):
        classifier.predict_many("late")


def test_long_text_is_cut_and_says_so(classifier: Classifier) -> None:
    """Beyond max_length the end is not read, and the result says so; at max_length it is whole."""
    fits = classifier.predict(" ".join(["late"] * (MAX_LENGTH - 2)))
    cut = classifier.predict(" ".join(["late"] * (MAX_LENGTH - 1)))
    assert (fits.truncated, fits.n_tokens) == (False, MAX_LENGTH)
    assert (cut.truncated, cut.n_tokens) == (True, MAX_LENGTH)


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b\u200d", "\x00"])
def test_empty_text_is_an_error(classifier: Classifier, text: str) -> None:
    """There is nothing to classify, and the message says what to do."""
    with pytest.raises(TextError, match="nothing to classify; leave it out") as caught:
        classifier.predict(text)
    assert caught.value.position == 0


@pytest.mark.parametrize("text", [None, 3, b"late", ["late"]])
def test_what_is_not_a_string_is_an_error(classifier: Classifier, text: object) -> None:
    """The message names the type, and never shows the value."""
    with pytest.raises(TextTypeError, match=f"expected str, found {type(text).__name__}") as caught:
        classifier.predict(text)  # type: ignore[arg-type]
    assert "late" not in str(caught.value)


def test_error_names_the_position_and_not_the_text(classifier: Classifier) -> None:
    """Texts may be patients' words: an error has the position alone."""
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
def test_odd_texts_have_an_answer(classifier: Classifier, text: str) -> None:
    """None of these crashes, and the next good text gets its usual answer."""
    before = classifier.predict("late")
    assert isinstance(classifier.predict(text), Prediction)
    assert classifier.predict("late") == before


def test_lone_surrogate_reads_as_replacement_character(classifier: Classifier) -> None:
    """The defined answer for half a surrogate pair."""
    assert classifier.predict("a\ud800 b") == classifier.predict("a\ufffd b")


def test_threads_share_a_classifier(classifier: Classifier) -> None:
    """Sixteen threads with 250 calls each get what one thread gets."""
    expected = [classifier.predict(text) for text in TEXTS]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(classifier.predict, TEXTS * 1000))
    assert found == expected * 1000


def test_threads_below_one_are_refused(artifact: Path) -> None:
    """Zero would silently mean "all" to onnxruntime, a hundred thousand takes the machine down."""
    for threads in (0, 257, 1.5, "2", True):
        with pytest.raises(SettingError, match="expected a whole number from 1 to 256"):
            load(artifact, threads=threads)  # type: ignore[arg-type]


def test_logits_of_several_texts(classifier: Classifier) -> None:
    """One row per text, none for none, and a bare str is refused as in predict_many."""
    assert classifier.logits(["late", "calm"]).shape == (2, 3)
    assert classifier.logits([]).shape == (0, 3)
    with pytest.raises(TypeError, match="use predict"):
        classifier.logits("late")


def test_cleaning_travels_in_the_tokenizer(multi_label_artifact: Path) -> None:
    """The cleaning step of the checkpoint is at work in the runtime, which has no code for it."""
    classifier = load(multi_label_artifact, provider="cpu")
    assert classifier.predict("DOCTOR:  it is   late") == classifier.predict("it is late")


def test_a_link_to_the_artifact_is_fine(artifact: Path, tmp_path: Path) -> None:
    """`current -> v12` is how services switch versions."""
    (tmp_path / "current").symlink_to(artifact)
    assert load(tmp_path / "current", provider="cpu").predict("late").label
