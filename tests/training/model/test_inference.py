"""What a model is given to read."""

from pathlib import Path

import pytest

from runtime.text.truncation import MOST_CHARACTERS
from training.arguments import EncoderArguments
from training.model.encoder import load_tokenizer
from training.model.inference import LONG_TEXT, truncate_texts


@pytest.mark.parametrize("part", ["the train was late ", "漢", ".", "e\u0301 ", "late\n"])
def test_long_texts_are_cut_before_they_are_tokenized(encoder: Path, part: str) -> None:
    """Shortening a long text before tokenization does not change its tokens, and short texts stay whole."""
    tokenizer = load_tokenizer(EncoderArguments(model_name_or_path=str(encoder), max_length=32))
    long = part * (3 * LONG_TEXT // len(part))
    short = part * 10
    beginning, whole = truncate_texts(tokenizer, [long, short])
    assert whole == short
    assert len(beginning) < LONG_TEXT
    found, expected = tokenizer([beginning, long], truncation=True)["input_ids"]
    assert len(found) == 32
    assert found == expected


def test_endless_word_is_read_as_far_as_the_runtime_reads_it(encoder: Path) -> None:
    """A single endless word is shortened to the runtime's character limit."""
    tokenizer = load_tokenizer(EncoderArguments(model_name_or_path=str(encoder), max_length=32))
    (found,) = truncate_texts(tokenizer, ["x" * (2 * LONG_TEXT)])
    assert found == "x" * MOST_CHARACTERS
