"""Opens an untrusted `tokenizer.json`: a damaged file is an error and never kills the process."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from ..errors import ArtifactError
from .panics import is_tokenizer_failure, silenced_panics

CHARSMAP = re.compile(rb'"precompiled_charsmap"\s*:\s*"([^"\\]*)"')
ESCAPED_LETTER = re.compile(rb"\\u00[2-7]")  # escapes of ASCII letters are never needed, and may hide a key


def open_tokenizer(content: bytes, name: str) -> FastTokenizer:
    """Creates a tokenizer from the content of a `tokenizer.json`, without the padding and truncation it may define.

    Args:
        content: Content of the file.
        name: Name of the file in messages.

    Raises:
        ArtifactError: This version of tokenizers cannot read it.
    """
    try:
        for charsmap in _charsmaps(content):
            _check_charsmap(charsmap)
        with silenced_panics():
            tokenizer = FastTokenizer.from_buffer(content)
    except BaseException as error:
        if not is_tokenizer_failure(error):
            raise
        raise ArtifactError(f"{name} is not a tokenizer this version can read; export the artifact again") from error
    tokenizer.no_padding()  # before anything is tokenized, because it may pad to terabytes
    tokenizer.no_truncation()
    return tokenizer


def largest_id(tokenizer: FastTokenizer) -> int:
    """Returns the largest token id of a tokenizer, including special tokens that it adds to every text.

    Raises:
        ArtifactError: The tokenizer cannot tokenize a single letter.
    """
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    if None in map(tokenizer.id_to_token, range(size)):  # the ids have gaps; listing all ids takes three times as long
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    else:
        largest = size - 1
    try:
        with silenced_panics():
            added = tokenizer.encode("a").ids  # a template may have other ids
    except BaseException as error:
        if not is_tokenizer_failure(error):
            raise
        raise ArtifactError("the tokenizer fails on the text 'a'; export the artifact again") from error
    return max([largest, *added])


def _charsmaps(content: bytes) -> Iterator[str]:
    """Yields the character maps of SentencePiece normalizers."""
    if b"charsmap" not in content and not ESCAPED_LETTER.search(content):
        return
    plain = [match[1].decode() for match in CHARSMAP.finditer(content)]
    if len(plain) == content.count(b"charsmap") and not ESCAPED_LETTER.search(content):
        yield from plain
    else:  # spelled in another way, or the name of a token
        yield from _values(json.loads(content).get("normalizer"))


def _values(normalizer: Any) -> Iterator[str]:
    if isinstance(normalizer, dict):
        if isinstance(charsmap := normalizer.get("precompiled_charsmap"), str):
            yield charsmap
        for part in normalizer.get("normalizers") or ():
            yield from _values(part)


def _check_charsmap(charsmap: str) -> None:
    """Rejects a map whose trie is longer than the map, for which tokenizers would allocate memory and abort.

    Raises:
        ValueError: The trie is too long, or the map is not base64.
    """
    try:
        content = base64.b64decode(charsmap, validate=True)
    except binascii.Error as error:
        raise ValueError("the charsmap is not base64") from error
    size = int.from_bytes(content[:4], "little")
    if len(content) < 4 or size % 4 or 4 + size > len(content):
        raise ValueError("the charsmap is shorter than its trie")
