"""Overlapping windows of a text of any length, one after the other: memory depends on the window, not on the text.

A text is tokenized piece by piece. Pieces overlap, and of each only the tokens are used that are the same in the whole
text, for the same reasons as in `prefix`: words at both ends of a piece are not trusted. A single word that is longer
than a piece may be is cut where the piece ends.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

from tokenizers import Encoding

from .truncation import PrefixRule

PIECE, LONGEST_PIECE = 1 << 15, 1 << 17  # characters
NEAR = 1 << 12  # characters in which white space is looked for

Offset = tuple[int, int]
Encode = Callable[[str], Encoding]


class Tokens(NamedTuple):
    """Some tokens in order, without special ones.

    Attributes:
        ids: Token ids.
        type_ids: The segment of each.
        offsets: Start and end of each in the whole text, in characters.
        words: Number of the word of each, counted from the start of the piece.
    """

    ids: list[int]
    type_ids: list[int]
    offsets: list[Offset]
    words: list[int]

    def part(self, first: int, last: int | None) -> Self:
        """Returns the tokens from one position up to another."""
        return self._replace(**{name: values[first:last] for name, values in self._asdict().items()})

    def extend(self, following: "Tokens") -> None:
        """Adds the tokens that follow."""
        self.ids.extend(following.ids)
        self.type_ids.extend(following.type_ids)
        self.offsets.extend(following.offsets)
        self.words.extend(following.words)

    def drop(self, count: int) -> None:
        """Forgets the first tokens."""
        del self.ids[:count], self.type_ids[:count], self.offsets[:count], self.words[:count]


class Frame(NamedTuple):
    """The special tokens around a text, ids and segments."""

    front: tuple[list[int], list[int]]
    back: tuple[list[int], list[int]]


class Window(NamedTuple):
    """A window with its special tokens: ids, the segment of each, and start and end of those that are text."""

    ids: list[int]
    type_ids: list[int]
    offsets: list[Offset]


def windows(encode: Encode, text: str, cut: PrefixRule, *, length: int, overlap: int) -> Iterator[Window]:
    """Yields the windows that tokenizers itself would make of the whole text; none of a text without tokens.

    Args:
        encode: Tokenizes with a tokenizer that truncates on the right, with that overlap.
        text: Any text.
        cut: What `prefix.cut_of` says of the tokenizer.
        length: Tokens of a window, special tokens left out.
        overlap: Tokens that a window shares with the one before.
    """
    frame = Frame(([], []), ([], []))
    waiting = Tokens([], [], [], [])
    for frame, tokens in _pieces(encode, text, cut, overlap):
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


def _pieces(encode: Encode, text: str, cut: PrefixRule, overlap: int) -> Iterator[tuple[Frame, Tokens]]:
    """Yields each token once, in pieces."""
    # Where the next token ends (where it starts depends on its place in a window, for RoBERTa), and where its piece
    # starts: some words before.
    begin = start = 0
    size = PIECE
    while begin < len(text):
        end = _end(text, begin + size, cut)
        encoding = encode(text[start:end])
        frame, tokens = _frame(encoding), _joined(encoding, overlap, start)
        first = _first_above([end for _, end in tokens.offsets], begin - 1)
        if end == len(text):
            yield frame, tokens.part(first, None)
            return
        trusted = (tokens.words[-1] if tokens.words else 0) - cut.last_words
        last = _boundary(tokens.offsets[: _first_above(tokens.words, trusted)], first)
        if last is not None:
            yield frame, tokens.part(first, last)
            begin = tokens.offsets[last][1]
            before = _first_above(tokens.words, trusted - cut.last_words)
            start, size = max(_start(text, tokens.offsets[before][0], start, cut), begin - LONGEST_PIECE), PIECE
        elif size < LONGEST_PIECE:
            size *= 4
        else:  # a word that does not end, or nothing to read
            yield frame, tokens.part(first, None)
            begin = start = end
            size = PIECE


def _boundary(offsets: Sequence[Offset], first: int) -> int | None:
    """Returns the last token behind the first one that can be found again by where it ends; None if there is none."""
    for position in range(len(offsets) - 1, first, -1):
        start, end = offsets[position]
        if start < end and end > max(offsets[position - 1][1], offsets[first][1]):
            return position
    return None


def _first_above(values: Sequence[int], bound: int) -> int:
    """Returns the position of the first value above a bound, or how many values there are."""
    return next((position for position, value in enumerate(values) if value > bound), len(values))


def _end(text: str, at: int, cut: PrefixRule) -> int:
    """Returns where a piece may end, at `at` or soon after."""
    if at >= len(text):
        return len(text)
    found = None if cut.ends is None else cut.ends.search(text, at, at + NEAR)
    return at if found is None else found.start()


def _start(text: str, at: int, after: int, cut: PrefixRule) -> int:
    """Returns where a piece may start, at `at` or soon before, but behind `after`."""
    if cut.ends is None:
        return at
    places = [match.start() for match in cut.ends.finditer(text, max(after + 1, at - NEAR), at)]
    return places[-1] if places else at


def _frame(encoding: Encoding) -> Frame:
    """Takes the special tokens off a text's first window."""
    text = [index for index, special in enumerate(encoding.special_tokens_mask) if not special]
    front, back = (text[0], text[-1] + 1) if text else (len(encoding.ids), len(encoding.ids))
    ids, type_ids = encoding.ids, encoding.type_ids
    return Frame((ids[:front], type_ids[:front]), (ids[back:], type_ids[back:]))


def _joined(encoding: Encoding, overlap: int, start: int) -> Tokens:
    """Puts the windows of a piece together."""
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
