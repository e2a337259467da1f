"""What each word contributes: the model's answer with it against its answer without it."""

import math
from pathlib import Path

import numpy as np
import pytest

from runtime import Classifier, SettingError, TextError, load
from runtime.decision.explanation import log_odds, words

from ...damage import rewrite_json
from ...models import LABELS, MAX_LENGTH

TEXT = "The train was late, and  nobody said why."


def odds(score: float) -> float:
    """Returns log(p / (1 - p))."""
    return math.log(score / (1 - score))


@pytest.mark.parametrize("which", ["single", "multi"])
def test_contribution_is_what_is_lost(which: str, artifact: Path, multi_label_artifact: Path) -> None:
    """For every word and label: log odds of the whole text, less those of the text without the word."""
    classifier = load(artifact if which == "single" else multi_label_artifact, provider="cpu")
    whole = classifier.predict(TEXT)
    for label in classifier.labels:
        explanation = classifier.explain(TEXT, label)
        assert (explanation.label, explanation.truncated) == (label, False)
        assert explanation.score == pytest.approx(whole.scores[label], abs=1e-6)
        assert [TEXT[word.start : word.end] for word in explanation.words] == TEXT.split()
        for word in explanation.words:
            without = classifier.predict(TEXT[: word.start] + TEXT[word.end :]).scores[label]
            assert word.contribution == pytest.approx(odds(whole.scores[label]) - odds(without), abs=1e-3)


def test_only_word_without_special_tokens(copy: Path) -> None:
    """Where no token is left without the word, one of padding stands in for the empty text."""
    rewrite_json(copy, "tokenizer.json", lambda content: content.update(post_processor=None))
    classifier = load(copy, provider="cpu", threads=1)
    (word,) = classifier.explain("late").words
    assert math.isfinite(word.contribution)
    assert word.contribution != 0


def test_best_label_unless_asked(classifier: Classifier) -> None:
    """Also where the classifier would abstain."""
    scores = classifier.predict(TEXT).scores
    assert classifier.explain(TEXT).label == max(scores, key=scores.__getitem__)


def test_unknown_label(classifier: Classifier) -> None:
    """The message lists those there are."""
    with pytest.raises(SettingError, match=r"^unknown label, expected one of calm, glad, sad$"):
        classifier.explain("calm", TEXT)  # the wrong way round


def test_long_text(classifier: Classifier) -> None:
    """Only what the model reads has words, and the explanation says so."""
    explanation = classifier.explain("late " * 100)
    assert explanation.truncated
    assert len(explanation.words) == MAX_LENGTH - 2


def test_groups_of_words(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many words are left out in groups, to the same effect."""
    whole = classifier.explain(TEXT)
    monkeypatch.setattr("runtime.decision.explanation.WORDS_AT_ONCE", 3)
    for word, expected in zip(classifier.explain(TEXT).words, whole.words, strict=True):
        assert word.contribution == pytest.approx(expected.contribution, abs=1e-4)


def test_one_word(classifier: Classifier) -> None:
    """What is left is a text of special tokens alone; the model still has an answer for that."""
    (word,) = classifier.explain("  late ").words
    assert (word.start, word.end) == (2, 6)
    assert math.isfinite(word.contribution)


@pytest.mark.parametrize("text", ["", "\u200b", None])
def test_nothing_to_explain(classifier: Classifier, text: str) -> None:
    """As in predict."""
    with pytest.raises(TextError):
        classifier.explain(text)


def test_what_is_not_read_has_no_words(multi_label_artifact: Path) -> None:
    """Here a speaker tag, which the artifact's own cleaning drops."""
    text = "DOCTOR:  it is late"
    explanation = load(multi_label_artifact, provider="cpu").explain(text)
    assert [text[word.start : word.end] for word in explanation.words] == ["it", "is", "late"]


def test_scripts_without_spaces(classifier: Classifier) -> None:
    """Each ideograph is a word."""
    text = "次の電車late 🙂"
    found = [text[word.start : word.end] for word in classifier.explain(text).words]
    assert found[0] == "次"
    assert found[-2:] == ["late", "🙂"]


def test_token_of_several_words() -> None:
    """It counts as one word, from where it begins to where it ends; tokens from nowhere belong to none."""
    assert words("電車 late", [(0, 0), (0, 2), (3, 5), (5, 7), (0, 0)]) == [(0, 2, [1]), (3, 7, [2, 3])]


def test_tokens_that_begin_with_the_space() -> None:
    """As GPT-2's and SentencePiece's do: the space belongs to no word, nor does a token of nothing else."""
    offsets = [(0, 0), (0, 3), (3, 8), (8, 9), (9, 15), (15, 16), (16, 16)]
    assert words("the late  train\n", offsets) == [(0, 3, [1]), (4, 8, [2]), (10, 15, [4])]


def test_halves_of_a_pair(classifier: Classifier) -> None:
    """Each reads as U+FFFD, so that places in the text stay what they are."""
    text = "x\ud83d\ude00 hello world"
    assert [text[word.start : word.end] for word in classifier.explain(text).words][-2:] == ["hello", "world"]


def test_log_odds_of_a_sure_thing(classifier: Classifier) -> None:
    """A score of 1 has finite log odds: they come from the logits."""
    logits = np.array([[60.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    assert log_odds(logits, 0, classifier.manifest).tolist() == pytest.approx([60 - math.log(2), -math.log(2)])
    assert len(LABELS["single_label"]) == 3
