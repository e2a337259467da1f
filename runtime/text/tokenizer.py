"""From texts to token ids: the artifact's `tokenizer.json`, truncated at the manifest's length, padded with NumPy.

Text cleaning is part of `tokenizer.json`, so there is none here.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from ..errors import ArtifactError, TextError, TextTypeError
from .panics import is_tokenizer_failure, silenced_panics
from .tokenizer_file import largest_id, open_tokenizer
from .truncation import CHARACTERS_PER_TOKEN, can_backtrack, encode_prefix, limit_text, prefix_rule
from .windows import windows

NAME = "tokenizer.json"
EMPTY = "it is empty or has no visible character, so there is nothing to classify; leave it out or give it words"
INVISIBLE = "the part that is read has no visible character; remove what is in front of the first word"
FAILED = "the tokenizer fails on it, for example in a cleaning step that backtracks too far; leave it out"
NO_MEMORY = "there is not enough memory to read it; free some, or split the text"
SURROGATE = re.compile("[\ud800-\udfff]")
LONG_TEXT = 1 << 17  # characters; windows of longer texts are made one after the other
MOST_WHOLE = 1 << 20
Result = TypeVar("Result")


class Window(NamedTuple):
    """What is kept of a window after the model has read its token ids.

    Attributes:
        n_tokens: Number of tokens, special tokens included.
        truncated: The text has more tokens than these.
        span: Positions in the text of the first character and after the last one; None if the text was truncated
            instead of split into windows.
    """

    n_tokens: int
    truncated: bool
    span: tuple[int, int] | None


class Encoded(NamedTuple):
    """The token ids of one text, or of one window of a text.

    Attributes:
        ids: (sequence,) int64, special tokens included, without padding.
        type_ids: (sequence,) int64, the segment of each token; None if all are 0.
        truncated: The text has more tokens than these.
        span: As in `Window`.
    """

    ids: npt.NDArray[np.int64]
    type_ids: npt.NDArray[np.int64] | None
    truncated: bool = False
    span: tuple[int, int] | None = None

    @property
    def window(self) -> Window:
        """Everything but the ids."""
        return Window(len(self.ids), self.truncated, self.span)


class LongText(NamedTuple):
    """A long text, whose windows `Tokenizer.windows` makes one after the other."""

    text: str


class Tokenizer:
    """A fast tokenizer whose settings are fixed when it is created, so that threads can share it."""

    def __init__(self, content: bytes, *, max_length: int, stride: int, pad_token_id: int, vocab_size: int) -> None:
        """Creates a tokenizer from the content of `tokenizer.json`.

        Padding and truncation that the file may define are replaced (all-MiniLM's pads every text to 128 tokens). They
        are set once, because changing them while another thread encodes raises "Already borrowed".

        Args:
            content: Content of `tokenizer.json`.
            max_length: Maximum number of tokens of a text or window, special tokens included.
            stride: Number of tokens from the start of a window to the start of the next.
            pad_token_id: Id of the padding on the right of shorter texts.
            vocab_size: Number of rows of the model's embedding.

        Raises:
            ArtifactError: The content is not a tokenizer, or the tokenizer of another model.
        """
        self._fast = open_tokenizer(content, NAME)
        found = largest_id(self._fast)
        if found >= vocab_size:
            raise ArtifactError(
                f"{NAME} has the token id {found}, the model's embedding the ids 0 to {vocab_size - 1}: it is another "
                "model's tokenizer; export the artifact again"
            )
        self._special_tokens = self._fast.num_special_tokens_to_add(False)
        if self._special_tokens >= max_length:
            raise ArtifactError(
                f"{NAME} adds {self._special_tokens} special tokens to every text, of which the model reads "
                f"{max_length} tokens; export the artifact again"
            )
        self._has_segments = any(self._fast.encode("a").type_ids)
        self._overlap = max(0, max_length - self._special_tokens - stride)
        self._fast.enable_truncation(max_length, stride=self._overlap)
        self._max_length = max_length
        self._pad_token_id = pad_token_id
        self._ones, self._zeros = np.ones((1, max_length), np.int64), np.zeros((1, max_length), np.int64)
        self._rule = prefix_rule(self._fast)
        self._can_panic = can_backtrack(self._fast)

    def encode(self, text: str) -> Encoded:
        """Tokenizes a text up to `max_length` tokens.

        Args:
            text: The text. Lone surrogates, which UTF-8 cannot encode, become U+FFFD. The tokenizer gets at most as
                much of the text as `truncation.limit_text` returns.

        Raises:
            TextError: The text has no token but the special ones, or the tokenizer fails on it.
            TextTypeError: It is not a `str`.
        """
        encoding, _, truncated = self._truncated(text)
        return Encoded(*self._ids(encoding.ids, encoding.type_ids), truncated)

    def encode_many(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenizes each text up to `max_length` tokens; errors are those of `encode`."""
        results: list[Encoded] = []
        for position, result in enumerate(self.try_encode(texts)):
            if isinstance(result, TextError):
                raise result.at(position)
            assert isinstance(result, list)
            results += result
        return results

    def try_encode(self, texts: Sequence[str], *, windows: bool = False) -> list[list[Encoded] | LongText | TextError]:
        """Tokenizes texts, and returns an error in the place of each text that cannot be tokenized.

        Args:
            texts: The texts, as for `encode`.
            windows: Whether to return overlapping windows of the whole text instead of its start.

        Returns:
            For each text its windows or its start, a `LongText` to pass to `windows`, or a `TextError` whose position
            is 0.
        """
        results = [self._try_alone(text, windows=windows) for text in texts]
        together = [position for position, result in enumerate(results) if result is None]
        ready = [_without_lone_surrogates(texts[position]) for position in together]
        try:
            encodings = self._guarded(lambda: self._fast.encode_batch(ready))
        except TextError:  # one of them fails
            for position in together:
                results[position] = self._try(texts[position], windows=windows)
        else:
            for position, encoding in zip(together, encodings, strict=True):
                results[position] = self._result(encoding, windows=windows)
        return [result for result in results if result is not None]

    def windows(self, text: str) -> Iterator[Encoded]:
        """Tokenizes the whole text, in overlapping windows, one after the other.

        Args:
            text: The text, as for `encode`.

        Raises:
            TextError: As `encode`; or the text is longer than this tokenizer can read in pieces.
            TextTypeError: As `encode`.
        """
        error = find_error(text)
        if error is not None:
            raise error
        if len(text) <= LONG_TEXT or self._rule is None:
            if len(text) > MOST_WHOLE:
                raise TextError(
                    0,
                    f"it has more than {MOST_WHOLE} characters, and this artifact's text cleaning or tokenizer has to "
                    "see a text as a whole; split it, or classify it without windows",
                )
            encoding = self._encoding(text)
            if len(encoding) <= self._special_tokens:
                raise TextError(0, EMPTY)
            yield from self._windows(encoding)
            return
        length = self._max_length - self._special_tokens
        window = None
        for window in windows(self._encoding, text, self._rule, length=length, overlap=self._overlap):
            yield Encoded(*self._ids(window.ids, window.type_ids), span=_span(window.offsets))
        if window is None:
            raise TextError(0, EMPTY)

    def locate(self, text: str) -> tuple[Encoded, list[tuple[int, int]]]:
        """Tokenizes a text up to `max_length` tokens and locates the tokens in it.

        Returns:
            The token ids, and for each token the positions in the text of its first character and after its last one;
            (0, 0) for special tokens that the tokenizer adds.

        Raises:
            TextError: As `encode`.
            TextTypeError: As `encode`.
        """
        encoding, start, truncated = self._truncated(text)
        places = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        offsets = [place if special else (place[0] + start, place[1] + start) for place, special in places]
        return Encoded(*self._ids(encoding.ids, encoding.type_ids), truncated), offsets

    def pad(self, batch: Sequence[Encoded]) -> dict[str, npt.NDArray[np.int64]]:
        """Pads tokenized texts on the right, to the length of the longest.

        Returns:
            `input_ids`, `attention_mask` and `token_type_ids`, each (batch, sequence) int64.
        """
        if len(batch) == 1:  # without a copy
            ids, type_ids = batch[0].ids, batch[0].type_ids
            return {
                "input_ids": ids[None],
                "attention_mask": self._ones[:, : len(ids)],
                "token_type_ids": self._zeros[:, : len(ids)] if type_ids is None else type_ids[None],
            }
        shape = len(batch), max(len(encoded.ids) for encoded in batch)
        input_ids = np.full(shape, self._pad_token_id, np.int64)
        attention_mask = np.zeros(shape, np.int64)
        token_type_ids = np.zeros(shape, np.int64)
        for row, encoded in enumerate(batch):
            length = len(encoded.ids)
            input_ids[row, :length] = encoded.ids
            attention_mask[row, :length] = 1
            if encoded.type_ids is not None:
                token_type_ids[row, :length] = encoded.type_ids
        return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}

    def _truncated(self, text: str) -> tuple[Encoding, int, bool]:
        """Tokenizes a text up to `max_length` tokens; returns also where reading starts and whether text remains."""
        error = find_error(text)
        if error is not None:
            raise error
        start, read = limit_text(text, self._max_length)
        unread = start + len(read) < len(text) and not text[start + len(read) :].isspace()
        read = _without_lone_surrogates(read)
        rule = self._rule
        if rule is not None and self._is_long(read):
            encoding = self._guarded(lambda: encode_prefix(self._fast, read, self._max_length, rule))
        else:
            encoding = self._guarded(lambda: self._fast.encode(read))
        if len(encoding) <= self._special_tokens:
            raise TextError(0, INVISIBLE if unread else EMPTY)
        return encoding, start, bool(encoding.overflowing) or unread

    def _encoding(self, text: str) -> Encoding:
        """Tokenizes a whole text."""
        return self._guarded(lambda: self._fast.encode(_without_lone_surrogates(text)))

    def _guarded(self, encode: Callable[[], Result]) -> Result:
        """Turns a failure of tokenizers into a `TextError`."""
        try:
            with silenced_panics() if self._can_panic else contextlib.nullcontext():
                return encode()
        except BaseException as error:
            if isinstance(error, TextError) or not is_tokenizer_failure(error):
                raise
            reason = NO_MEMORY if isinstance(error, MemoryError) else FAILED
            raise TextError(0, reason) from None  # the message of tokenizers may contain the text

    def _try_alone(self, text: str, *, windows: bool) -> list[Encoded] | LongText | TextError | None:
        """Returns the result of a text that is not tokenized together with others; None for other texts."""
        error = find_error(text)
        if error is not None:
            return error
        if windows:
            return LongText(text) if len(text) > LONG_TEXT else None
        return self._try(text, windows=False) if self._is_long(text) else None

    def _try(self, text: str, *, windows: bool) -> list[Encoded] | TextError:
        try:
            return list(self.windows(text)) if windows else [self.encode(text)]
        except TextError as error:
            return error

    def _result(self, encoding: Encoding, *, windows: bool) -> list[Encoded] | TextError:
        if len(encoding) <= self._special_tokens:
            return TextError(0, EMPTY)
        if windows:
            return self._windows(encoding)
        return [Encoded(*self._ids(encoding.ids, encoding.type_ids), bool(encoding.overflowing))]

    def _windows(self, encoding: Encoding) -> list[Encoded]:
        parts = (encoding, *encoding.overflowing)
        return [Encoded(*self._ids(part.ids, part.type_ids), span=_span(part.offsets)) for part in parts]

    def _is_long(self, text: str) -> bool:
        return len(text) > 2 * CHARACTERS_PER_TOKEN * self._max_length

    def _ids(
        self, ids: Sequence[int], type_ids: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
        return np.array(ids, np.int64), np.array(type_ids, np.int64) if self._has_segments else None


def find_error(text: object) -> TextError | None:
    """Returns the error of a text that cannot be tokenized, if that is known without trying; its position is 0."""
    if not isinstance(text, str):
        return TextTypeError(0, f"expected str, found {type(text).__name__}; pass one str per text")
    return TextError(0, EMPTY) if not text or text.isspace() else None


def require_many(texts: object) -> None:
    """Rejects what is not several texts, above all a bare `str`, which would be iterated character by character.

    Raises:
        TextTypeError: It is a `str`, or cannot be iterated.
    """
    if isinstance(texts, str):
        raise TextTypeError(0, "expected several texts, found one str; use predict for one text")
    try:
        iter(texts)  # type: ignore[call-overload]
    except TypeError:
        raise TextTypeError(0, f"expected several texts, found {type(texts).__name__}") from None


def _without_lone_surrogates(text: str) -> str:
    """Replaces code points that UTF-8 cannot encode, and the tokenizer would reject, with U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def _span(offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns where the first token begins and the last one ends, leaving out added special tokens."""
    located = [(start, stop) for start, stop in offsets if stop > start] or [span for span in offsets if any(span)]
    if not located:  # only special tokens that the tokenizer adds
        return 0, 0
    return min(start for start, _ in located), max(stop for _, stop in located)
