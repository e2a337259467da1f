"""Text cleaning that is saved in tokenizer.json, in front of the encoder's own normalizer.

The same text therefore gives the same token ids in training, in the runtime and in any other reader of tokenizer.json,
and no service needs a copy of a cleaning function.
"""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import NFKC, Lowercase, Normalizer, Replace, Strip
from tokenizers.normalizers import Sequence as NormalizerSequence

from runtime.text.panics import is_tokenizer_failure, silenced_panics

from ..errors import DataError
from .backtracking import EMPTY, FINE, SLOW, try_pattern

DROP = "drop:"
REFUSALS = {
    SLOW: "takes too long on some texts, because it can match the same characters in many ways; put no repeat inside a "
    r"repeated group or beside a repeat that can match the same characters, and bound it, for example "
    r"drop:[^:\n]{1,40}:",
    EMPTY: "also matches the empty text; make it match something",
}


def normalizer(steps: Sequence[str]) -> Normalizer:
    """Builds the normalizer that cleans texts.

    Args:
        steps: In order: `nfkc` (Unicode compatibility form), `squeeze_spaces` (each run of white space becomes one
            space, and both ends are stripped) or `drop:REGEX` (each match becomes a space; Oniguruma syntax, `(?i)` for
            any case).

    Raises:
        DataError: A step is unknown, or its regular expression is invalid, matches the empty text, or backtracks for
            too long on some texts.
    """
    return NormalizerSequence([item for step in steps for item in _normalizers(step)])


def dedup_key(steps: Sequence[str]) -> Callable[[str], str]:
    """Returns a function that normalizes a text for duplicate detection: cleaned, in lower case, with single spaces.

    The function returns an empty string if cleaning removes the whole text, and raises DataError if a step fails on it.

    Args:
        steps: As for `normalizer`.

    Raises:
        DataError: A step is not usable, as described for `normalizer`.
    """
    clean = NormalizerSequence([normalizer(steps), Lowercase()])

    def key(text: str) -> str:
        try:
            return " ".join(clean.normalize_str(text).split()).casefold()
        except BaseException as error:
            if not is_tokenizer_failure(error):
                raise
            raise DataError("a step of --cleaning fails on its text; simplify the step") from error

    return key


def cleaned(texts: Sequence[str], steps: Sequence[str], name: str) -> list[str]:
    """Returns the `dedup_key` of each text.

    Args:
        texts: The texts of a file.
        steps: As for `normalizer`.
        name: Name of the file, for messages.

    Raises:
        DataError: A step is not usable, fails on a text, or removes a whole text.
    """
    key, found = dedup_key(steps), []
    with silenced_panics():
        for row, text in enumerate(texts, start=1):
            try:
                found.append(key(text))
            except DataError as error:
                raise DataError(f"{name}: row {row}: {error}") from error
            if not found[-1]:
                raise DataError(f"{name}: row {row}: --cleaning removes the whole text; drop the row or the step")
    return found


def add_cleaning(tokenizer: Tokenizer, steps: Sequence[str]) -> None:
    """Adds cleaning steps in front of a tokenizer's normalizer, in place, unless they are there already.

    Args:
        tokenizer: Is changed.
        steps: As for `normalizer`.

    Raises:
        DataError: A step is not usable, as described for `normalizer`.
    """
    cleaning, own = normalizer(steps), tokenizer.normalizer
    added = _items(cleaning)
    if added and (own is None or _items(own)[: len(added)] != added):
        tokenizer.normalizer = NormalizerSequence([cleaning, *([] if own is None else [own])])


def _items(cleaning: Normalizer) -> list[dict[str, Any]]:
    """Returns the items of a normalizer as they are written in tokenizer.json."""
    content: dict[str, Any] = json.loads(cleaning.__getstate__())
    return list(content["normalizers"]) if content["type"] == "Sequence" else [content]


def _normalizers(step: str) -> list[Normalizer]:
    if step == "nfkc":
        return [NFKC()]
    if step == "squeeze_spaces":
        return [Replace(Regex(r"\s+"), " "), Strip()]
    if step.startswith(DROP):
        try:
            normalizer = Replace(Regex(step.removeprefix(DROP)), " ")
        except Exception as error:  # tokenizers raises bare Exception
            raise DataError(f"cleaning step {step!r}: expected a regular expression: {error}") from error
        tried = _tried(step.removeprefix(DROP))
        if tried != FINE:
            raise DataError(f"cleaning step {step!r} {REFUSALS.get(tried, 'cannot be tested; simplify it')}")
        return [normalizer]
    raise DataError(f"unknown cleaning step {step!r}: expected nfkc, squeeze_spaces or {DROP}REGEX")


@functools.cache
def _tried(pattern: str) -> int:
    """Tests a pattern, once per process."""
    return try_pattern(pattern)
