"""Windows of texts of any length: the windows of the whole text, made one after the other."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer

from runtime import Classifier, TextError, load
from runtime.text import windows
from runtime.text.truncation import prefix_rule

from ...damage import rewrite_json
from .test_truncation import byte_level, texts, unigram, word_piece

LENGTH, OVERLAP = 16, 5
LONG = "the margins were irregular and late . " * 8_000  # 304,000 characters


@pytest.fixture(scope="module", params=[byte_level, unigram, word_piece])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One that truncates as the runtime's does, with windows that overlap."""
    make: Callable[[], Tokenizer] = request.param
    made = make()
    made.enable_truncation(LENGTH, stride=OVERLAP)
    return made


@settings(max_examples=30, deadline=None)
@given(text=texts)
def test_windows_are_those_of_the_whole_text(tokenizer: Tokenizer, text: str) -> None:
    """Small pieces give the ids, segments and offsets that the tokenizer gives for all of the text at once."""
    compare(tokenizer, text)


@pytest.mark.parametrize("text", ["漢字" * 3_000, ".,;" * 3_000, "late " * 3_000 + " " * 9_000 + "x", "[SEP]" * 3_000])
def test_windows_of_odd_texts(tokenizer: Tokenizer, text: str) -> None:
    """Texts without spaces, with nothing but spaces in the middle, or of special tokens have the same windows, too."""
    compare(tokenizer, text, longest=1 << 16)


def compare(tokenizer: Tokenizer, text: str, *, piece: int = 512, longest: int = 1 << 13) -> None:
    """Compares the windows from pieces with those of the whole text."""
    whole = tokenizer.encode(text)
    cut, length = prefix_rule(tokenizer), LENGTH - tokenizer.num_special_tokens_to_add(False)
    assert cut is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "PIECE", piece)
        patch.setattr(windows, "LONGEST_PIECE", longest)
        found = list(windows.windows(tokenizer.encode, text, cut, length=length, overlap=OVERLAP))
    expected = [part for part in (whole, *whole.overflowing) if len(part) > LENGTH - length]
    assert [(window.ids, window.type_ids) for window in found] == [(part.ids, part.type_ids) for part in expected]
    words = [
        [
            text[slice(*at)].strip()
            for at, special in zip(part.offsets, part.special_tokens_mask, strict=True)
            if not special
        ]
        for part in expected
    ]  # without the space that RoBERTa's has in front of the first token of a window
    assert [[text[slice(*at)].strip() for at in window.offsets] for window in found] == words


def test_word_longer_than_a_piece_comes_to_an_end(tokenizer: Tokenizer) -> None:
    """A word that no piece can hold is cut, and what follows it is read."""
    text = "x" * 20_000 + " late late"
    cut, length = prefix_rule(tokenizer), LENGTH - tokenizer.num_special_tokens_to_add(False)
    assert cut is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "PIECE", 256)
        patch.setattr(windows, "LONGEST_PIECE", 1024)
        found = list(windows.windows(tokenizer.encode, text, cut, length=length, overlap=OVERLAP))
    assert found[-1].ids[-8:] == (tokenizer.encode("x late late").ids)[-8:] or found[-1].offsets[-1][1] == len(text)


def test_long_text_is_read_to_its_end(classifier: Classifier) -> None:
    """A text of several pieces gives the scores that its windows have, from the first character to the last."""
    found = classifier.predict(LONG, windows=True)
    assert (found.windows[0].start, found.windows[-1].end) == (0, len(LONG.rstrip()))
    middle = found.windows[len(found.windows) // 2]
    alone = classifier.predict(LONG[middle.start : middle.end])
    assert alone.scores == pytest.approx(dict(middle.scores), abs=1e-5)


def test_long_text_in_a_stream(classifier: Classifier) -> None:
    """Long texts keep their place among short ones, and say what they say alone."""
    found = classifier.predict_many(["late", LONG, "early"], windows="max")
    assert found[1] == classifier.predict(LONG, windows="max")
    assert [len(prediction.windows) > 1 for prediction in found] == [False, True, False]


def test_long_text_without_tokens_is_the_error_of_its_row(classifier: Classifier) -> None:
    """Of a text of characters without a width nothing can be read; the others are classified."""
    found = list(classifier.predict_iter(["late", "\u200b" * 300_000, "late"], windows=True, return_errors=True))
    assert isinstance(found[1], TextError)
    assert found[1].position == 1
    assert found[0] == found[2]


def spanning(content: dict[str, Any]) -> None:
    """Has the cleaning look across words, so that no piece is sure to be cleaned as the whole text would be."""
    step = {"type": "Replace", "pattern": {"Regex": r"\(.*?\)"}, "content": " "}
    content["normalizer"] = {"type": "Sequence", "normalizers": [step, content["normalizer"]]}


def test_cleaning_across_words_has_a_limit(copy: Path) -> None:
    """A text of more than a million characters is refused where it would have to be read as a whole."""
    rewrite_json(copy, "tokenizer.json", spanning)
    classifier = load(copy, provider="cpu", threads=1)
    assert len(classifier.predict("(no) late " * 20_000, windows=True).windows) > 100
    with pytest.raises(TextError, match=r"more than 1048576 characters.*split it"):
        classifier.predict("late " * 300_000, windows=True)


PEAK = """
import resource, sys
from runtime import load
classifier = load(sys.argv[1], provider="cpu", threads=1)
text = "the margins were irregular and late . " * int(sys.argv[2])
classifier.predict(text[:400_000], windows=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
classifier.predict(text, windows=True)
print(len(text), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_memory_does_not_depend_on_the_length(artifact: Path) -> None:
    """Of a text of 2 million characters, the windows' own scores are all that is kept."""
    command = [sys.executable, "-c", PEAK, str(artifact), "60000"]
    characters, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert characters > 2_000_000
    assert grown < 15 * characters


def test_step_that_backtracks_without_bound(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A text on which the regular expression gives up is the error of its row, and its panic is not printed."""
    step = {"type": "Replace", "pattern": {"Regex": r"(\w+\s?)+:"}, "content": " "}

    def add(content: dict[str, Any]) -> None:
        content["normalizer"] = {"type": "Sequence", "normalizers": [step, content["normalizer"]]}

    rewrite_json(copy, "tokenizer.json", add)
    classifier = load(copy, provider="cpu", threads=1)
    bad = "blood pressure elevated and unstable since last week and before (see note): stable"
    found = list(classifier.predict_iter(["late", bad, "early"], return_errors=True))
    assert [isinstance(item, TextError) for item in found] == [False, True, False]
    assert str(found[1]).startswith("text 1: the tokenizer fails on it")
    assert "blood" not in repr(found[1])
    assert capfd.readouterr().err == ""


def test_text_behind_a_panic_is_still_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """What other code writes to standard error before a panic comes through."""
    code = (
        "import os\nfrom tokenizers import Regex, normalizers\nfrom runtime.text.panics import silenced_panics\n"
        "step = normalizers.Sequence([normalizers.Replace(Regex('a*'), ' '), normalizers.Lowercase()])\n"
        "try:\n    with silenced_panics():\n        os.write(2, b'kept\\n')\n        step.normalize_str('bé')\n"
        "except BaseException as error:\n    print(type(error).__name__)\n"
        "os.write(2, b'also kept\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("PanicException\n", "kept\nalso kept\n")
