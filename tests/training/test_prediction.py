"""What a model is given to read."""

from pathlib import Path

import pytest

from training.arguments import EncoderArguments
from training.encoder import load_tokenizer
from training.prediction import LONG_TEXT, beginnings


@pytest.mark.parametrize("part", ["the train was late ", "漢", ".", "e\u0301 ", "late\n"])
def test_long_texts_are_cut_before_they_are_tokenized(encoder: Path, part: str) -> None:
    """To the same tokens; what is no longer than other texts stays whole."""
    tokenizer = load_tokenizer(EncoderArguments(model_name_or_path=str(encoder), max_length=32))
    long = part * (3 * LONG_TEXT // len(part))
    short = part * 10
    beginning, whole = beginnings(tokenizer, [long, short])
    assert whole == short
    assert len(beginning) < LONG_TEXT
    found, expected = tokenizer([beginning, long], truncation=True)["input_ids"]
    assert len(found) == 32
    assert found == expected


def test_text_that_cannot_be_cut_stays_whole(encoder: Path) -> None:
    """One endless word, whose end could change its beginning."""
    tokenizer = load_tokenizer(EncoderArguments(model_name_or_path=str(encoder), max_length=32))
    word = "x" * (2 * LONG_TEXT)
    assert beginnings(tokenizer, [word]) == [word]
