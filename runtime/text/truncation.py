"""How little of a very long text has to be tokenized for the same first tokens.

A model reads `max_length` tokens; a text of 20 MB has millions. A prefix is enough if nothing behind it changes the
tokens in it that are used. The parts of the tokenizer are looked at, once:

- If it cleans and splits looking no further than the word, only the last words of a prefix can come out otherwise.
- If some cleaning looks at whole words (a speaker's tag), a prefix has to end where white space begins.
- With a part that is not known to be so, as much is tokenized as is ever read.

No more is ever read of a text than `most_characters`, so that none takes a second, whatever is in it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tokenizers import Encoding
from tokenizers import Tokenizer as FastTokenizer

CHARACTERS_PER_TOKEN = 16
MOST_CHARACTERS, MOST_CHARACTERS_PER_TOKEN = 1 << 17, 32
LAST_WORDS = 16  # and as many as the longest added token has characters: those that are not trusted
SPACES_BEGIN = re.compile(r"(?<=\S) ")
WHITE_SPACE_BEGINS = re.compile("(?<=\\S)[ \t\n\r\u00a0\u2000-\u200a\u202f\u205f\u3000]")
CLEANING = {"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Lowercase", "StripAccents", "Strip"}
SPLITTING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel"}
REFINING = {"Punctuation", "Digits", "UnicodeScripts", "Metaspace"}
QUANTIFIER = r"([*+?]|\{\d+(,\d*)?\})?"
WORDS = re.compile(  # regular expressions that match no white space, so that a match is within a word
    r"(\(\?i\)|\(\?:|[()|]|((?<=\))|\\[bdw.:()\[\]|?*+-]|[\w:;,'\"`!@#%&=<>/~-]|\[[\w:;,.-]+\])" + QUANTIFIER + ")*"
)
SPACE = r"(\\s| |\[(\\[nrt])+\])" + QUANTIFIER
SPACES = re.compile(rf"{SPACE}(\|{SPACE})*")
REPEATS = re.compile(r"[*+{]")


class PrefixRule(NamedTuple):
    """How a tokenizer's texts may be cut.

    Attributes:
        ends: Where a prefix may end; None for anywhere.
        last_words: How many words at its end are not trusted.
    """

    ends: re.Pattern[str] | None
    last_words: int


def limit_text(text: str, max_length: int) -> tuple[int, str]:
    """Cuts off what is never read: all but 131,072 characters, or 32 for each token if that is more.

    They begin where a longer text does, one character of leading white space included. It is far more than tokens need;
    a tokenizer takes half a second for a million characters without a space, and one for a million spaces.

    Args:
        text: Any text.
        max_length: Tokens that are used, special tokens included.

    Returns:
        Where in the text it begins, and what is read.
    """
    most = max(MOST_CHARACTERS, MOST_CHARACTERS_PER_TOKEN * max_length)
    if len(text) <= most:
        return 0, text
    start = max(0, len(text) - len(text.lstrip()) - 1)
    return start, text[start : start + most]


def encode_prefix(tokenizer: FastTokenizer, text: str, max_length: int, cut: PrefixRule) -> Encoding:
    """Tokenizes as much of a text as its first `max_length` tokens need.

    Args:
        tokenizer: Truncates at `max_length` on the right.
        text: Any text.
        max_length: Tokens that are used, special tokens included.
        cut: What `prefix_rule` says of the tokenizer.

    Returns:
        The encoding of the whole text, but for what overflows: some if the whole text has some, not all of it.
    """
    size = max_length * CHARACTERS_PER_TOKEN
    while size < len(text) // 2:
        if cut.ends is not None:
            found = cut.ends.search(text, size)
            if found is None:
                break
            size = found.start()
        encoding = tokenizer.encode(text[:size])
        if encoding.overflowing and _last_word(encoding.overflowing[-1]) - _last_word(encoding) >= cut.last_words:
            return encoding
        size *= 4
    return tokenizer.encode(text)


def prefix_rule(tokenizer: FastTokenizer) -> PrefixRule | None:
    """Tells how texts may be cut; None if that is not known."""
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
    """Tells whether a regular expression of the tokenizer may give up on a text, which is a panic of tokenizers."""
    parts = (*_parts(tokenizer.normalizer, "normalizers"), *_parts(tokenizer.pre_tokenizer, "pretokenizers"))
    expressions = (part["pattern"].get("Regex", "") for part in parts if part["type"] in ("Replace", "Split"))
    return any(not SPACES.fullmatch(expression) and REPEATS.search(expression) for expression in expressions)


def _last_word(encoding: Encoding) -> int:
    return max((word for word in encoding.word_ids if word is not None), default=0)


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
    """Tells whether a cleaning step changes each word for itself, and keeps white space between words."""
    if step["type"] != "Replace":
        return step["type"] in CLEANING
    return _squeezes(step) or bool(WORDS.fullmatch(_expression(step)))


def _squeezes(step: dict[str, Any]) -> bool:
    """Tells whether a replacement turns white space into white space, and nothing else."""
    return " " in step["content"] and bool(SPACES.fullmatch(_expression(step)))


def _expression(step: dict[str, Any]) -> str:
    return str(step["pattern"].get("Regex", re.escape(step["pattern"].get("String", ""))))
