"""A `tokenizer.json` that may be anybody's."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import ArtifactError, TextError, load
from runtime.text.truncation import limit_text
from runtime.verify import verify

from ...damage import rewrite_json

CHARSMAPS = {
    "a trie of 4 GB": "/////wAAAAA=",
    "a trie longer than the map": base64.b64encode((1024).to_bytes(4, "little") + bytes(64)).decode(),
    "an odd trie": base64.b64encode((3).to_bytes(4, "little") + bytes(64)).decode(),
    "no trie at all": "",
    "no base64": "?",
}


def precompiled(content: dict[str, Any], charsmap: str) -> None:
    """Has the tokenizer begin with SentencePiece's normalizer."""
    first = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    content["normalizer"] = {"type": "Sequence", "normalizers": [first, content["normalizer"]]}


@pytest.mark.parametrize("name", CHARSMAPS)
def test_damaged_charsmap(copy: Path, name: str) -> None:
    """It is an error before tokenizers sees it, which would abort the process or panic."""
    rewrite_json(copy, "tokenizer.json", lambda content: precompiled(content, CHARSMAPS[name]))
    loading = (
        "import sys, runtime\n"
        "try:\n    runtime.load(sys.argv[1])\n"
        "except runtime.ArtifactError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", loading, str(copy)], capture_output=True, text=True, check=False)
    message = "tokenizer.json is not a tokenizer this version can read; export the artifact again\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, message, "")


def test_charsmap_whose_key_is_spelled_with_escapes(copy: Path) -> None:
    """JSON may write a letter as its number; the map is found all the same."""
    rewrite_json(copy, "tokenizer.json", lambda content: precompiled(content, CHARSMAPS["a trie of 4 GB"]))
    path = copy / "tokenizer.json"
    path.write_text(path.read_text().replace("precompiled_charsmap", "precompiled\\u005fcharsmap"))
    assert "\\u005f" in path.read_text()
    rewrite_json_as_it_is(copy)
    with pytest.raises(ArtifactError, match="is not a tokenizer"):
        load(copy)


def rewrite_json_as_it_is(folder: Path) -> None:
    """Makes the hash of tokenizer.json right again."""
    rewrite_json(folder, "config.json", lambda _: None)


def test_token_named_like_the_key(copy: Path) -> None:
    """A vocabulary may have the word; it is no map."""
    rewrite_json(copy, "tokenizer.json", lambda content: rename(content, "late", "charsmap"))
    assert load(copy, provider="cpu").predict("charsmap").n_tokens == 3


def rename(content: dict[str, Any], old: str, new: str) -> None:
    """Gives a token another text."""
    vocabulary = content["model"]["vocab"]
    vocabulary[new] = vocabulary.pop(old)


def far(content: dict[str, Any]) -> None:
    """Gives a word an id beyond the embedding, without having more tokens."""
    content["model"]["vocab"]["late"] = 99_999


def far_template(content: dict[str, Any]) -> None:
    """Has the template begin every text with an id that no vocabulary has."""
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [77_777], "tokens": ["[CLS]"]}},
    }


@pytest.mark.parametrize(("change", "largest"), [(far, 99_999), (far_template, 77_777)])
def test_id_beyond_the_embedding(copy: Path, change: Callable[[dict[str, Any]], None], largest: int) -> None:
    """The largest id counts, not how many tokens there are: load and verify refuse it."""
    rewrite_json(copy, "tokenizer.json", change)
    message = f"has the token id {largest}, the model's embedding the ids 0 to 30521"
    with pytest.raises(ArtifactError, match=message):
        load(copy)
    (failure,) = verify(copy).failures
    assert message in failure.detail


def test_padding_to_terabytes(copy: Path) -> None:
    """Published padding is dropped before anything is tokenized."""
    padding = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    rewrite_json(copy, "tokenizer.json", lambda content: content.update(padding=padding))
    assert load(copy, provider="cpu").predict("late").n_tokens == 3


def test_text_without_a_space_is_read_up_to_a_limit(classifier: Any) -> None:
    """Of a word of a million letters no more than the first 131,072 are read, and `truncated` says so."""
    found = classifier.predict("a" * 1_000_000)
    assert (found.truncated, found.n_tokens) == (True, 3)
    assert classifier.predict("a" * 1_000_000 + " late") == found
    assert classifier.predict("late" + " " * 1_000_000) == classifier.predict("late")
    assert classifier.predict(" " * 1_000_000 + "late") == classifier.predict("late")
    assert json.dumps(found.to_dict())


def test_white_space_in_front_of_a_text_costs_nothing(classifier: Any) -> None:
    """All of it but one character is left out of what is tokenized, and the words are where they were."""
    start, read = limit_text(" " * 1_000_000 + "late", 48)
    assert (start, read) == (999_999, " late")
    (word,) = classifier.explain(" " * 1_000_000 + "late").words
    assert (word.start, word.end) == (1_000_000, 1_000_004)


def test_word_behind_more_than_is_read(classifier: Any) -> None:
    """The error does not say that a text is empty of which only the beginning was read."""
    with pytest.raises(TextError, match="the part that is read has no visible character"):
        classifier.predict("\u200b" * 1_000_000 + "late")
