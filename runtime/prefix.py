"""How little of a very long text has to be tokenized for the same first tokens.

A model reads `max_length` tokens; a text of 20 MB has millions. A prefix is enough if nothing behind it changes the
tokens in it. That holds for a prefix that ends where a run of spaces begins, if the tokenizer splits at spaces and
cleans within words: then every word of the prefix is tokenized as in the whole text. The parts of the tokenizer are
looked at, once; with a part that is not known to be so, whole texts are tokenized.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Encoding
from tokenizers import Tokenizer as FastTokenizer

CHARACTERS_PER_TOKEN = 16
SPACES_BEGIN = re.compile(r"(?<=\S) ")
CLEANING = {"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Lowercase", "StripAccents", "Strip"}
SPLITTING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel", "Metaspace"}
REFINING = {"Punctuation", "Digits", "UnicodeScripts"}
QUANTIFIER = r"([*+?]|\{\d+(,\d*)?\})?"
WORDS = re.compile(  # regular expressions that match no white space, so that a match is within a word
    r"(\(\?i\)|\(\?:|[()|]|((?<=\))|\\[bdw.:()\[\]|?*+-]|[\w:;,'\"!@#%&=<>/~-]|\[[\w:;,.-]+\])" + QUANTIFIER + ")*"
)
SPACES = re.compile(r"(\\s| )" + QUANTIFIER)


def encode_start(tokenizer: FastTokenizer, text: str, max_length: int) -> Encoding:
    """Tokenizes as much of a text as its first `max_length` tokens need.

    Args:
        tokenizer: One that `is_local`, and truncates at `max_length` on the right.
        text: Any text.
        max_length: Tokens that are used, special tokens included.

    Returns:
        The encoding of the whole text, but for what overflows: some if the whole text has some, not all of it.
    """
    for end in _ends(text, max_length * CHARACTERS_PER_TOKEN):
        encoding = tokenizer.encode(text[:end])
        if encoding.overflowing:
            return encoding
    return tokenizer.encode(text)


def is_local(tokenizer: FastTokenizer) -> bool:
    """Tells whether words between spaces are tokenized the same whatever comes after them."""
    added = "".join(token.content for token in tokenizer.get_added_tokens_decoder().values())
    cleaning = _parts(tokenizer.normalizer, "normalizers")
    splits = list(_parts(tokenizer.pre_tokenizer, "pretokenizers"))
    return (
        not re.search(r"\s", added)
        and all(map(_cleans_words, cleaning))
        and all(split["type"] in SPLITTING | REFINING for split in splits)
        and any(split["type"] in SPLITTING and split.get("split", split.get("use_regex", True)) for split in splits)
    )


def _ends(text: str, size: int) -> Iterator[int]:
    """Yields where prefixes end, each at least four times as long as the one before, as long as they save something."""
    while size < len(text) // 2:
        found = SPACES_BEGIN.search(text, size)
        if found is None:
            return
        yield found.start()
        size = 4 * found.start()


def _parts(component: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yields a tokenizer's component as JSON, or the parts of a sequence."""
    if component is None:
        return
    waiting = [json.loads(component.__getstate__())]
    while waiting:
        part = waiting.pop(0)
        if part["type"] == "Sequence":
            waiting[:0] = part[key]
        else:
            yield part


def _cleans_words(step: dict[str, Any]) -> bool:
    """Tells whether a cleaning step changes each word for itself, and keeps spaces between words."""
    if step["type"] != "Replace":
        return step["type"] in CLEANING
    expression = step["pattern"].get("Regex", re.escape(step["pattern"].get("String", "")))
    return bool(WORDS.fullmatch(expression) or (" " in step["content"] and SPACES.fullmatch(expression)))
