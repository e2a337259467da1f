"""Tokenizer files from any source: damaged ones are errors, and odd ones cannot exhaust memory or time."""

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
    """Puts SentencePiece's normalizer with this character map in front."""
    first = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    content["normalizer"] = {"type": "Sequence", "normalizers": [first, content["normalizer"]]}


@pytest.mark.parametrize("name", CHARSMAPS)
def test_damaged_charsmap(copy: Path, name: str) -> None:
    """A damaged character map is an error before tokenizers reads it, which would abort or panic."""
    rewrite_json(copy, "tokenizer.json", lambda content: precompiled(content, CHARSMAPS[name]))
    loading = (
        "import sys, runtime\n"
        "try:\n    runtime.load(sys.argv[1])\n"
        "except runtime.ArtifactError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", loading, str(copy)], capture_output=True, text=True, check=False)
    message = "tokenizer.json is not a tokenizer this version can read; export the artifact again\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, message, "")


def test_escaped_charsmap_key(copy: Path) -> None:
    """A damaged character map is found also if its key is written with JSON escapes."""
    rewrite_json(copy, "tokenizer.json", lambda content: precompiled(content, CHARSMAPS["a trie of 4 GB"]))
    path = copy / "tokenizer.json"
    path.write_text(path.read_text().replace("precompiled_charsmap", "precompiled\\u005fcharsmap"))
    assert "\\u005f" in path.read_text()
    update_hashes(copy)
    with pytest.raises(ArtifactError, match="is not a tokenizer"):
        load(copy)


def update_hashes(folder: Path) -> None:
    """Updates the hash of tokenizer.json in the manifest."""
    rewrite_json(folder, "config.json", lambda _: None)


def test_token_named_charsmap(copy: Path) -> None:
    """A token named `charsmap` is not taken for a character map."""
    rewrite_json(copy, "tokenizer.json", lambda content: rename_token(content, "late", "charsmap"))
    assert load(copy, provider="cpu").predict("charsmap").n_tokens == 3


def rename_token(content: dict[str, Any], old: str, new: str) -> None:
    """Renames a token of the vocabulary."""
    vocabulary = content["model"]["vocab"]
    vocabulary[new] = vocabulary.pop(old)


def large_id(content: dict[str, Any]) -> None:
    """Gives a word an id beyond the embedding, without adding a token."""
    content["model"]["vocab"]["late"] = 99_999


def large_id_in_template(content: dict[str, Any]) -> None:
    """Makes the template begin every text with an id beyond the embedding."""
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [77_777], "tokens": ["[CLS]"]}},
    }


@pytest.mark.parametrize(("change", "largest"), [(large_id, 99_999), (large_id_in_template, 77_777)])
def test_id_beyond_the_embedding(copy: Path, change: Callable[[dict[str, Any]], None], largest: int) -> None:
    """A tokenizer whose largest id is beyond the embedding is rejected by load and verify."""
    rewrite_json(copy, "tokenizer.json", change)
    message = f"has the token id {largest}, the model's embedding the ids 0 to 30521"
    with pytest.raises(ArtifactError, match=message):
        load(copy)
    (failure,) = verify(copy).failures
    assert message in failure.detail


def test_padding_to_terabytes(copy: Path) -> None:
    """Padding that the tokenizer file defines is dropped before anything is tokenized."""
    padding = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    rewrite_json(copy, "tokenizer.json", lambda content: content.update(padding=padding))
    assert load(copy, provider="cpu").predict("late").n_tokens == 3


def test_characters_read_of_one_word(classifier: Any) -> None:
    """No more than 131,072 characters of a text without a space are read, and `truncated` is set."""
    found = classifier.predict("a" * 1_000_000)
    assert (found.truncated, found.n_tokens) == (True, 3)
    assert classifier.predict("a" * 1_000_000 + " late") == found
    assert classifier.predict("late" + " " * 1_000_000) == classifier.predict("late")
    assert classifier.predict(" " * 1_000_000 + "late") == classifier.predict("late")
    assert json.dumps(found.to_dict())


def test_leading_white_space_is_skipped(classifier: Any) -> None:
    """Leading white space is not tokenized, except one character, and positions in the text stay right."""
    start, read = limit_text(" " * 1_000_000 + "late", 48)
    assert (start, read) == (999_999, " late")
    (word,) = classifier.explain(" " * 1_000_000 + "late").words
    assert (word.start, word.end) == (1_000_000, 1_000_004)


def test_visible_characters_after_the_limit(classifier: Any) -> None:
    """A text whose visible characters come after the limit gets an error of its own, not the one for empty texts."""
    with pytest.raises(TextError, match="the part that is read has no visible character"):
        classifier.predict("\u200b" * 1_000_000 + "late")
