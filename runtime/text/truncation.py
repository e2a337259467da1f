"""Finds a short prefix of a very long text that has the same first tokens.

A model reads `max_length` tokens, and a text of 20 MB has millions. A prefix is enough if the rest of the text cannot
change those of its tokens that are used. The tokenizer's components decide which prefix that is:

- If cleaning and splitting depend only on the word, only the last words of a prefix can be tokenized differently.
- If a cleaning step depends on whole words (such as a speaker's tag), the prefix has to end before white space.
- With any other component, `limit_text` alone limits what is tokenized.

`limit_text` applies to every text, so that no text takes a second to tokenize.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tokenizers import Encoding
from tokenizers import Tokenizer as FastTokenizer

CHARACTERS_PER_TOKEN = 16
MOST_CHARACTERS, MOST_CHARACTERS_PER_TOKEN = 1 << 17, 32
LAST_WORDS = 16  # of a prefix are not used, plus one for each character of the longest added token
SPACES_BEGIN = re.compile(r"(?<=\S) ")
WHITE_SPACE_BEGINS = re.compile("(?<=\\S)[ \t\n\r\u00a0\u2000-\u200a\u202f\u205f\u3000]")
CLEANING = {"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Lowercase", "StripAccents", "Strip"}
SPLITTING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel"}
REFINING = {"Punctuation", "Digits", "UnicodeScripts", "Metaspace"}
QUANTIFIER = r"([*+?]|\{\d+(,\d*)?\})?"
WORDS = re.compile(  # regular expressions that match no white space, so that a match stays within a word
    r"(\(\?i\)|\(\?:|[()|]|((?<=\))|\\[bBdw.:()\[\]|?*+-]|[\w:;,'\"`!@#%&=<>/~-]|\[[\w:;,.-]+\])" + QUANTIFIER + ")*"
)
SPACE = r"(\\s| |\[(\\[nrt])+\])" + QUANTIFIER
SPACES = re.compile(rf"{SPACE}(\|{SPACE})*")
REPEATS = re.compile(r"[*+{]")


class PrefixRule(NamedTuple):
    """Where a prefix may end for a tokenizer.

    Attributes:
        ends: Matches the positions where a prefix may end; None for any position.
        last_words: Number of words at the end of a prefix whose tokens are not used.
    """

    ends: re.Pattern[str] | None
    last_words: int


def limit_text(text: str, max_length: int) -> tuple[int, str]:
    """Limits a text to 131,072 characters, or to 32 per token if that is more.

    In a longer text they start at the first visible character, with one character of white space before it. The limit
    is far above what `max_length` tokens need. Without it, a tokenizer takes half a second for a million characters
    without a space, and a second for a million spaces.

    Args:
        text: Any text.
        max_length: Number of tokens that are used, special tokens included.

    Returns:
        The start of the limited text in the text, and the limited text.
    """
    most = max(MOST_CHARACTERS, MOST_CHARACTERS_PER_TOKEN * max_length)
    if len(text) <= most:
        return 0, text
    start = max(0, len(text) - len(text.lstrip()) - 1)
    return start, text[start : start + most]


def encode_prefix(tokenizer: FastTokenizer, text: str, max_length: int, rule: PrefixRule) -> Encoding:
    """Tokenizes only as much of a text as its first `max_length` tokens need.

    Args:
        tokenizer: A tokenizer that truncates at `max_length` on the right.
        text: Any text.
        max_length: Number of tokens that are used, special tokens included.
        rule: The `prefix_rule` of the tokenizer.

    Returns:
        The encoding of the whole text, except for its overflow: it is not empty if that of the whole text is not.
    """
    size = max_length * CHARACTERS_PER_TOKEN
    while size < len(text) // 2:
        if rule.ends is not None:
            found = rule.ends.search(text, size)
            if found is None:
                break
            size = found.start()
        encoding = tokenizer.encode(text[:size])
        if encoding.overflowing and _last_word(encoding.overflowing[-1]) - _last_word(encoding) >= rule.last_words:
            return encoding
        size *= 4
    return tokenizer.encode(text)


def prefix_rule(tokenizer: FastTokenizer) -> PrefixRule | None:
    """Returns where a prefix may end for a tokenizer; None if that is not known."""
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    cleaning = list(_parts(tokenizer.normalizer, "normalizers"))
    splits = list(_parts(tokenizer.pre_tokenizer, "pretokenizers"))
    at_white_space = any(split["type"] in SPLITTING and split.get("use_regex", True) for split in splits)
    at_spaces = at_white_space or any(split["type"] == "Metaspace" and split.get("split", True) for split in splits)
    known = all(split["type"] in SPLITTING | REFINING for split in splits)
    if not (known and at_spaces and all(map(_cleans_words, cleaning))):
        return None
    last_words = LAST_WORDS + max(map(len, added), default=0)
    if all(step["type"] != "Replace" or _squeezes(step) for step in cleaning):
        return PrefixRule(None, last_words)
    return PrefixRule(WHITE_SPACE_BEGINS if at_white_space else SPACES_BEGIN, last_words)


def can_backtrack(tokenizer: FastTokenizer) -> bool:
    """Returns whether a regular expression of the tokenizer may backtrack too far on a text, which is a panic."""
    parts = (*_parts(tokenizer.normalizer, "normalizers"), *_parts(tokenizer.pre_tokenizer, "pretokenizers"))
    expressions = (part["pattern"].get("Regex", "") for part in parts if part["type"] in ("Replace", "Split"))
    return any(not SPACES.fullmatch(expression) and REPEATS.search(expression) for expression in expressions)


def _last_word(encoding: Encoding) -> int:
    return max((word for word in encoding.word_ids if word is not None), default=0)


def _parts(component: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yields a tokenizer's component as JSON; for a sequence its members."""
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
    """Returns whether a cleaning step depends only on the word, and keeps white space between words."""
    if step["type"] != "Replace":
        return step["type"] in CLEANING
    return _squeezes(step) or bool(WORDS.fullmatch(_expression(step)))


def _squeezes(step: dict[str, Any]) -> bool:
    """Returns whether a replacement only turns white space into white space."""
    return " " in step["content"] and bool(SPACES.fullmatch(_expression(step)))


def _expression(step: dict[str, Any]) -> str:
    return str(step["pattern"].get("Regex", re.escape(step["pattern"].get("String", ""))))
