"""Text cleaning that travels inside tokenizer.json, in front of the encoder's own normalizer.

So the same text gives the same token ids in training, in the runtime and in any other reader of tokenizer.json, and
no service needs a copy of a cleaning function.
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
    SLOW: "takes too long on some texts, for it can match the same characters in many ways; put no repeat inside a "
    r"repeated group, none beside one that may match the same, and bound it, for example drop:[^:\n]{1,40}:",
    EMPTY: "also matches the empty text; make it match something",
}


def normalizer(steps: Sequence[str]) -> Normalizer:
    """Returns what cleans a text.

    Args:
        steps: In order: `nfkc` (Unicode compatibility form), `squeeze_spaces` (each run of white space becomes one
            space, none at the ends) or `drop:REGEX` (each match becomes a space; Oniguruma syntax, `(?i)` for any
            case).

    Raises:
        DataError: A step is unknown, or its regular expression is wrong, matches the empty text, or takes too long on
            texts that are hard for it.
    """
    return NormalizerSequence([part for step in steps for part in _normalizers(step)])


def dedup_key(steps: Sequence[str]) -> Callable[[str], str]:
    """Returns what makes texts the same that a model can hardly tell apart: cleaned, in lower case, single spaces.

    Of a text that is all cleaned away it leaves the empty one. It raises DataError if a step fails on the text.

    Args:
        steps: As for `normalizer`.

    Raises:
        DataError: As for `normalizer`.
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
    """Returns texts as `dedup_key` gives them.

    Args:
        texts: As they stand in the file.
        steps: As for `normalizer`.
        name: The file's, for messages.

    Raises:
        DataError: As for `normalizer`; or a step fails on a text, or leaves nothing of it.
    """
    key, found = dedup_key(steps), []
    with silenced_panics():
        for row, text in enumerate(texts, start=1):
            try:
                found.append(key(text))
            except DataError as error:
                raise DataError(f"{name}: row {row}: {error}") from error
            if not found[-1]:
                raise DataError(
                    f"{name}: row {row}: --cleaning leaves nothing of its text; remove the row, or the step"
                )
    return found


def add_cleaning(tokenizer: Tokenizer, steps: Sequence[str]) -> None:
    """Puts cleaning steps in front of a tokenizer's normalizer, in place, unless they are there already.

    Args:
        tokenizer: Changed.
        steps: As for `normalizer`.

    Raises:
        DataError: As for `normalizer`.
    """
    cleaning, own = normalizer(steps), tokenizer.normalizer
    parts = _parts(cleaning)
    if parts and (own is None or _parts(own)[: len(parts)] != parts):
        tokenizer.normalizer = NormalizerSequence([cleaning, *([] if own is None else [own])])


def _parts(cleaning: Normalizer) -> list[dict[str, Any]]:
    """Spells a normalizer's parts as tokenizer.json does."""
    content: dict[str, Any] = json.loads(cleaning.__getstate__())  # type: ignore[attr-defined]
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
            raise DataError(f"cleaning step {step!r}: not a regular expression: {error}") from error
        tried = _tried(step.removeprefix(DROP))
        if tried != FINE:
            raise DataError(f"cleaning step {step!r} {REFUSALS.get(tried, 'cannot be tried; simplify it')}")
        return [normalizer]
    raise DataError(f"unknown cleaning step {step!r}: expected nfkc, squeeze_spaces or {DROP}REGEX")


@functools.cache
def _tried(pattern: str) -> int:
    """Tries a pattern once in a process."""
    return try_pattern(pattern)
