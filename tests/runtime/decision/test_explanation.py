"""Explanations: the contribution of each word is the difference that leaving it out makes."""

import math
from pathlib import Path

import numpy as np
import pytest

from runtime import Classifier, SettingError, TextError, load
from runtime.decision.explanation import log_odds, words

from ...damage import rewrite_json
from ...models import LABELS, MAX_LENGTH

TEXT = "The train was late, and  nobody said why."


def log_odds_of(score: float) -> float:
    """Returns log(p / (1 - p)) of a score p."""
    return math.log(score / (1 - score))


@pytest.mark.parametrize("which", ["single", "multi"])
def test_contribution_is_the_loss_without_the_word(which: str, artifact: Path, multi_label_artifact: Path) -> None:
    """A contribution is the label's log log_odds_of for the whole text minus those for the text without the word."""
    classifier = load(artifact if which == "single" else multi_label_artifact, provider="cpu")
    whole = classifier.predict(TEXT)
    for label in classifier.labels:
        explanation = classifier.explain(TEXT, label)
        assert (explanation.label, explanation.truncated) == (label, False)
        assert explanation.score == pytest.approx(whole.scores[label], abs=1e-6)
        assert [TEXT[word.start : word.end] for word in explanation.words] == TEXT.split()
        for word in explanation.words:
            without = classifier.predict(TEXT[: word.start] + TEXT[word.end :]).scores[label]
            assert word.contribution == pytest.approx(log_odds_of(whole.scores[label]) - log_odds_of(without), abs=1e-3)


def test_only_word_without_special_tokens(copy: Path) -> None:
    """A padding token stands in for the empty text if the tokenizer adds no special tokens."""
    rewrite_json(copy, "tokenizer.json", lambda content: content.update(post_processor=None))
    classifier = load(copy, provider="cpu", threads=1)
    (word,) = classifier.explain("late").words
    assert math.isfinite(word.contribution)
    assert word.contribution != 0


def test_default_label_has_the_highest_score(classifier: Classifier) -> None:
    """The label with the highest score is explained by default, also if the classifier abstains."""
    scores = classifier.predict(TEXT).scores
    assert classifier.explain(TEXT).label == max(scores, key=scores.__getitem__)


def test_unknown_label(classifier: Classifier) -> None:
    """The error for an unknown label lists the known ones and does not repeat the argument."""
    with pytest.raises(SettingError, match=r"^unknown label, expected one of calm, glad, sad$"):
        classifier.explain("calm", TEXT)  # arguments in the wrong order


def test_long_text(classifier: Classifier) -> None:
    """Only words that the model reads are explained, and `truncated` is set."""
    explanation = classifier.explain("late " * 100)
    assert explanation.truncated
    assert len(explanation.words) == MAX_LENGTH - 2


def test_groups_of_words(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving out words in several groups gives the same contributions as in one group."""
    whole = classifier.explain(TEXT)
    monkeypatch.setattr("runtime.decision.explanation.WORDS_AT_ONCE", 3)
    for word, expected in zip(classifier.explain(TEXT).words, whole.words, strict=True):
        assert word.contribution == pytest.approx(expected.contribution, abs=1e-4)


def test_one_word(classifier: Classifier) -> None:
    """A text of one word is compared with a text of special tokens alone."""
    (word,) = classifier.explain("  late ").words
    assert (word.start, word.end) == (2, 6)
    assert math.isfinite(word.contribution)


@pytest.mark.parametrize("text", ["", "\u200b", None])
def test_nothing_to_explain(classifier: Classifier, text: str) -> None:
    """A text that cannot be classified cannot be explained either."""
    with pytest.raises(TextError):
        classifier.explain(text)


def test_removed_text_has_no_words(multi_label_artifact: Path) -> None:
    """Text that the artifact's cleaning removes, here a speaker tag, is not explained."""
    text = "DOCTOR:  it is late"
    explanation = load(multi_label_artifact, provider="cpu").explain(text)
    assert [text[word.start : word.end] for word in explanation.words] == ["it", "is", "late"]


def test_scripts_without_spaces(classifier: Classifier) -> None:
    """Each ideograph is a word of its own."""
    text = "次の電車late 🙂"
    found = [text[word.start : word.end] for word in classifier.explain(text).words]
    assert found[0] == "次"
    assert found[-2:] == ["late", "🙂"]


def test_token_of_several_words() -> None:
    """A token that covers several words counts as one word; special tokens belong to none."""
    assert words("電車 late", [(0, 0), (0, 2), (3, 5), (5, 7), (0, 0)]) == [(0, 2, [1]), (3, 7, [2, 3])]


def test_tokens_that_include_the_space() -> None:
    """The space that a token of GPT-2 or SentencePiece includes belongs to no word."""
    offsets = [(0, 0), (0, 3), (3, 8), (8, 9), (9, 15), (15, 16), (16, 16)]
    assert words("the late  train\n", offsets) == [(0, 3, [1]), (4, 8, [2]), (10, 15, [4])]


def test_lone_surrogates(classifier: Classifier) -> None:
    """Lone surrogates become U+FFFD, so that positions in the text stay the same."""
    text = "x\ud83d\ude00 hello world"
    assert [text[word.start : word.end] for word in classifier.explain(text).words][-2:] == ["hello", "world"]


def test_log_odds_of_a_score_of_one(classifier: Classifier) -> None:
    """A score of 1 has finite log log_odds_of, because they are computed from the logits."""
    logits = np.array([[60.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    assert log_odds(logits, 0, classifier.manifest).tolist() == pytest.approx([60 - math.log(2), -math.log(2)])
    assert len(LABELS["single_label"]) == 3
