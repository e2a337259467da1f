"""Which words speak for a label: what the model says without each of them.

Occlusion by leaving words out (Li, Monroe and Jurafsky, 2016, "Understanding Neural Networks through Representation
Erasure"). It needs nothing but the model's answers. Words that say the same hide one another: without one of them the
other still speaks.
"""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..artifact.manifest import Manifest
from ..text.tokenizer import Encoded

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # and kana
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\s{IDEOGRAPHS}]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text and what it contributes.

    Attributes:
        start: Where it begins, in characters of the text.
        end: Where it ends.
        contribution: Log odds of the label that are lost without the word; negative if it speaks against the label.
    """

    start: int
    end: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the words of a text contribute to a label's score.

    Attributes:
        label: The label.
        score: Its score for the text.
        words: Those that the model reads, in order.
        truncated: The text was longer than the model's `max_length`; what was not read has no words here.
    """

    label: str
    score: float
    words: tuple[Word, ...]
    truncated: bool


def words(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """Groups tokens to words: what is between white space, or a single ideograph.

    Args:
        text: The text.
        offsets: Start and end of each token in it, in characters; empty for tokens that are not from the text.

    Returns:
        For each word where its tokens start and end in the text, and their positions.
    """
    starts = [match.start() for match in WORD.finditer(text, 0, max(end for _, end in offsets))]
    found: dict[int, list[tuple[int, int, int]]] = {}
    for position, (first, last) in enumerate(offsets):
        token = text[first:last]  # some tokenizers' begin with the space in front of them, or are nothing else
        start, end = last - len(token.lstrip()), first + len(token.rstrip())
        if start < end:
            found.setdefault(bisect.bisect_right(starts, start), []).append((start, end, position))
    return [
        (min(start for start, _, _ in tokens), max(end for _, end, _ in tokens), [token for _, _, token in tokens])
        for _, tokens in sorted(found.items())
    ]


def without(encoded: Encoded, positions: Sequence[int], pad_token_id: int) -> Encoded:
    """Returns a text's tokens without some; where none would be left, which no model reads, the padding's."""
    if len(positions) == len(encoded.ids):
        return Encoded(np.full(1, pad_token_id, np.int64), None if encoded.type_ids is None else np.zeros(1, np.int64))
    type_ids = None if encoded.type_ids is None else np.delete(encoded.type_ids, positions)
    return Encoded(np.delete(encoded.ids, positions), type_ids)


def log_odds(logits: npt.NDArray[np.float32], label: int, manifest: Manifest) -> npt.NDArray[np.float64]:
    """Returns log(p / (1 - p)) of a label's score p, without the rounding of scores that are nearly 0 or 1.

    Args:
        logits: (batch, labels) float32.
        label: Position of the label.
        manifest: Gives task and temperature.

    Returns:
        (batch,) float64.
    """
    scaled = logits.astype(np.float64) / manifest.temperature
    if manifest.task == "multi_label":
        return np.asarray(scaled[:, label])
    return np.asarray(scaled[:, label] - np.logaddexp.reduce(np.delete(scaled, label, axis=1), axis=1))
