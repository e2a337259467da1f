"""Overlapping windows of a text of any length, in memory that depends on the window and not on the text.

A text is tokenized in overlapping pieces. Only those tokens of a piece are used that are the same in the whole text,
for the reasons given in `truncation`: the words at both ends of a piece are not used. A single word that is longer than
a piece can be is split at the end of the piece.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

from tokenizers import Encoding

from .truncation import PrefixRule

PIECE, LONGEST_PIECE = 1 << 15, 1 << 17  # characters
NEAR = 1 << 12  # characters to search for white space

Offset = tuple[int, int]
Encode = Callable[[str], Encoding]


class Tokens(NamedTuple):
    """Consecutive tokens, without special tokens.

    Attributes:
        ids: Token ids.
        type_ids: Segment of each token.
        offsets: Start and end of each token in the whole text, in characters.
        words: Index of each token's word, counted from the start of the piece.
    """

    ids: list[int]
    type_ids: list[int]
    offsets: list[Offset]
    words: list[int]

    def slice(self, first: int, last: int | None) -> Self:
        """Returns the tokens from one position up to another."""
        return self._replace(**{name: values[first:last] for name, values in self._asdict().items()})

    def extend(self, following: "Tokens") -> None:
        """Appends tokens."""
        self.ids.extend(following.ids)
        self.type_ids.extend(following.type_ids)
        self.offsets.extend(following.offsets)
        self.words.extend(following.words)

    def drop(self, count: int) -> None:
        """Removes the first tokens."""
        del self.ids[:count], self.type_ids[:count], self.offsets[:count], self.words[:count]


class Frame(NamedTuple):
    """The special tokens before and after a text: ids and segments."""

    front: tuple[list[int], list[int]]
    back: tuple[list[int], list[int]]


class Window(NamedTuple):
    """A window with its special tokens: ids, segments, and the start and end of each token that is text."""

    ids: list[int]
    type_ids: list[int]
    offsets: list[Offset]


def windows(encode: Encode, text: str, rule: PrefixRule, *, length: int, overlap: int) -> Iterator[Window]:
    """Yields the windows that tokenizers itself would create for the whole text; none for a text without tokens.

    Args:
        encode: Tokenizes with a tokenizer that truncates on the right, with that overlap.
        text: Any text.
        rule: The `prefix_rule` of the tokenizer.
        length: Number of tokens of a window, without special tokens.
        overlap: Number of tokens that a window shares with the window before it.
    """
    frame = Frame(([], []), ([], []))
    waiting = Tokens([], [], [], [])
    for frame, tokens in _pieces(encode, text, rule, overlap):
        waiting.extend(tokens)
        while len(waiting.ids) > length:
            yield _framed(waiting, frame, length)
            waiting.drop(length - overlap)
    if waiting.ids:
        yield _framed(waiting, frame, length)


def _framed(tokens: Tokens, frame: Frame, length: int) -> Window:
    (front, front_types), (back, back_types) = frame
    return Window(
        [*front, *tokens.ids[:length], *back],
        [*front_types, *tokens.type_ids[:length], *back_types],
        tokens.offsets[:length],
    )


def _pieces(encode: Encode, text: str, rule: PrefixRule, overlap: int) -> Iterator[tuple[Frame, Tokens]]:
    """Yields each token once, piece by piece."""
    # `begin` is where the next token ends (for RoBERTa, where it starts depends on its position in a window).
    # `start` is where its piece starts, some words before.
    begin = start = 0
    size = PIECE
    while begin < len(text):
        end = _end(text, begin + size, rule)
        encoding = encode(text[start:end])
        frame, tokens = _frame(encoding), _joined(encoding, overlap, start)
        first = _first_above([end for _, end in tokens.offsets], begin - 1)
        if end == len(text):
            yield frame, tokens.slice(first, None)
            return
        trusted = (tokens.words[-1] if tokens.words else 0) - rule.last_words
        last = _boundary(tokens.offsets[: _first_above(tokens.words, trusted)], first)
        if last is not None:
            yield frame, tokens.slice(first, last)
            begin = tokens.offsets[last][1]
            before = _first_above(tokens.words, trusted - rule.last_words)
            start, size = max(_start(text, tokens.offsets[before][0], start, rule), begin - LONGEST_PIECE), PIECE
        elif size < LONGEST_PIECE:
            size *= 4
        else:  # a very long word, or nothing to read
            yield frame, tokens.slice(first, None)
            begin = start = end
            size = PIECE


def _boundary(offsets: Sequence[Offset], first: int) -> int | None:
    """Returns the last token after the first one that its end identifies; None if there is none."""
    for position in range(len(offsets) - 1, first, -1):
        start, end = offsets[position]
        if start < end and end > max(offsets[position - 1][1], offsets[first][1]):
            return position
    return None


def _first_above(values: Sequence[int], bound: int) -> int:
    """Returns the position of the first value above a bound, or the number of values."""
    return next((position for position, value in enumerate(values) if value > bound), len(values))


def _end(text: str, at: int, rule: PrefixRule) -> int:
    """Returns where a piece may end, at `at` or shortly after."""
    if at >= len(text):
        return len(text)
    found = None if rule.ends is None else rule.ends.search(text, at, at + NEAR)
    return at if found is None else found.start()


def _start(text: str, at: int, after: int, rule: PrefixRule) -> int:
    """Returns where a piece may start, at `at` or shortly before, but after `after`."""
    if rule.ends is None:
        return at
    places = [match.start() for match in rule.ends.finditer(text, max(after + 1, at - NEAR), at)]
    return places[-1] if places else at


def _frame(encoding: Encoding) -> Frame:
    """Returns the special tokens of a text's first window."""
    text = [index for index, special in enumerate(encoding.special_tokens_mask) if not special]
    front, back = (text[0], text[-1] + 1) if text else (len(encoding.ids), len(encoding.ids))
    ids, type_ids = encoding.ids, encoding.type_ids
    return Frame((ids[:front], type_ids[:front]), (ids[back:], type_ids[back:]))


def _joined(encoding: Encoding, overlap: int, start: int) -> Tokens:
    """Joins the windows of a piece."""
    tokens = Tokens([], [], [], [])
    for number, part in enumerate([encoding, *encoding.overflowing]):
        rows = zip(part.ids, part.type_ids, part.offsets, part.word_ids, part.special_tokens_mask, strict=True)
        kept = [row for row in rows if not row[-1]][overlap if number else 0 :]
        for token, type_id, (first, last), word, _ in kept:
            tokens.ids.append(token)
            tokens.type_ids.append(type_id)
            tokens.offsets.append((start + first, start + last))
            tokens.words.append(word or 0)
    return tokens
