"""Which words support a label, measured by leaving each of them out.

This is occlusion (Li, Monroe and Jurafsky, 2016, "Understanding Neural Networks through Representation Erasure"). It
needs only the model's logits. Words with the same meaning hide each other: without one of them, the other still
supports the label.
"""

import bisect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..artifact.manifest import Manifest
from ..text.tokenizer import Encoded
from .policy import scores

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # and kana
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\s{IDEOGRAPHS}]+")
WORDS_AT_ONCE = 256  # each takes a copy of the text's tokens

Run = Callable[[Sequence[Encoded]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text and its contribution.

    Attributes:
        start: Position of its first character in the text.
        end: Position after its last character.
        contribution: The log odds of the label that are lost without the word; negative if it counts against the label.
    """

    start: int
    end: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The contribution of each word of a text to a label's score.

    Attributes:
        label: The label.
        score: Its score for the text.
        words: The words that the model reads, in order.
        truncated: The text was longer than the model's `max_length`; words that were not read are missing.
    """

    label: str
    score: float
    words: tuple[Word, ...]
    truncated: bool


def explain(
    text: str,
    encoded: Encoded,
    offsets: Sequence[tuple[int, int]],
    run: Run,
    manifest: Manifest,
    label: str | None,
) -> Explanation:
    """Runs a text without each of its words in turn.

    Args:
        text: The text.
        encoded: Its token ids.
        offsets: Start and end of each token in the text, in characters.
        run: Returns the logits of tokenized texts, (texts, labels) float32.
        manifest: Provides labels, task, temperature and padding.
        label: The label to explain; None for the one with the highest score.

    Raises:
        InferenceError: A logit is not a finite number, or the model cannot run.
    """
    groups = words(text, offsets)
    logits = [run([encoded])]
    for start in range(0, len(groups), WORDS_AT_ONCE):
        group = groups[start : start + WORDS_AT_ONCE]
        logits.append(run([without(encoded, tokens, manifest.pad_token_id) for _, _, tokens in group]))
    row = scores(logits[0][0].tolist(), manifest)
    index = row.index(max(row)) if label is None else manifest.labels.index(label)
    whole, *rest = log_odds(np.concatenate(logits), index, manifest).tolist()
    return Explanation(
        label=manifest.labels[index],
        score=row[index],
        words=tuple(Word(start, end, whole - left) for (start, end, _), left in zip(groups, rest, strict=True)),
        truncated=encoded.truncated,
    )


def words(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """Groups tokens into words, which are separated by white space; an ideograph is a word of its own.

    Args:
        text: The text.
        offsets: Start and end of each token in the text, in characters; equal for tokens that are not from the text.

    Returns:
        For each word the start and the end of its tokens in the text, and the positions of these tokens.
    """
    starts = [match.start() for match in WORD.finditer(text, 0, max(end for _, end in offsets))]
    found: dict[int, list[tuple[int, int, int]]] = {}
    for position, (first, last) in enumerate(offsets):
        token = text[first:last]  # tokens of some tokenizers include the space in front of them, or are only a space
        start, end = last - len(token.lstrip()), first + len(token.rstrip())
        if start < end:
            found.setdefault(bisect.bisect_right(starts, start), []).append((start, end, position))
    return [
        (min(start for start, _, _ in tokens), max(end for _, end, _ in tokens), [token for _, _, token in tokens])
        for _, tokens in sorted(found.items())
    ]


def without(encoded: Encoded, positions: Sequence[int], pad_token_id: int) -> Encoded:
    """Returns a text's tokens without some of them; if none remain, one padding token, which the model needs."""
    if len(positions) == len(encoded.ids):
        return Encoded(np.full(1, pad_token_id, np.int64), None if encoded.type_ids is None else np.zeros(1, np.int64))
    type_ids = None if encoded.type_ids is None else np.delete(encoded.type_ids, positions)
    return Encoded(np.delete(encoded.ids, positions), type_ids)


def log_odds(logits: npt.NDArray[np.float32], label: int, manifest: Manifest) -> npt.NDArray[np.float64]:
    """Returns log(p / (1 - p)) of a label's score p, computed without rounding scores close to 0 or 1.

    Args:
        logits: (batch, labels) float32.
        label: Position of the label.
        manifest: Provides task and temperature.

    Returns:
        (batch,) float64.
    """
    scaled = logits.astype(np.float64) / manifest.temperature
    if manifest.task == "multi_label":
        return np.asarray(scaled[:, label])
    return np.asarray(scaled[:, label] - np.logaddexp.reduce(np.delete(scaled, label, axis=1), axis=1))
