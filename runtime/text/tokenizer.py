"""From texts to token ids: the artifact's `tokenizer.json`, cut at the manifest's length, padded with numpy.

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
INVISIBLE = "as far as it is read it has no visible character; leave out what is in front of the first word"
FAILED = "the tokenizer fails on it, for example in a cleaning step that backtracks too far; leave it out"
NO_MEMORY = "there is not enough memory to read it; free some, or split the text"
SURROGATE = re.compile("[\ud800-\udfff]")
LONG_TEXT = 1 << 17  # characters; longer ones are cut into windows one after the other
MOST_WHOLE = 1 << 20
Result = TypeVar("Result")


class Window(NamedTuple):
    """What is known of a window once it has run.

    Attributes:
        n_tokens: Its tokens, special tokens included.
        truncated: The text has more tokens than these.
        span: Where in the text it begins and ends, in characters; None for what is no window.
    """

    n_tokens: int
    truncated: bool
    span: tuple[int, int] | None


class Encoded(NamedTuple):
    """The token ids of one text, or of one window of a text.

    Attributes:
        ids: (sequence,) int64, special tokens included, without padding.
        type_ids: (sequence,) int64, the segment of each token; None if it is 0 throughout.
        truncated: The text has more tokens than these.
        span: Where in the text a window begins and ends, in characters; None for what is no window.
    """

    ids: npt.NDArray[np.int64]
    type_ids: npt.NDArray[np.int64] | None
    truncated: bool = False
    span: tuple[int, int] | None = None

    @property
    def window(self) -> Window:
        """All but the ids."""
        return Window(len(self.ids), self.truncated, self.span)


class LongText(NamedTuple):
    """A text that is cut into windows by `Tokenizer.windows`, one after the other."""

    text: str


class Tokenizer:
    """A fast tokenizer with its settings fixed at load, so that threads may share it."""

    def __init__(self, content: bytes, *, max_length: int, stride: int, pad_token_id: int, vocab_size: int) -> None:
        """Makes one of the content of `tokenizer.json`.

        A published file may carry padding and truncation of its own (all-MiniLM's pads every text to 128 tokens), so
        both are replaced. They are set here and never again: changing them while another thread encodes raises
        "Already borrowed".

        Args:
            content: Of `tokenizer.json`.
            max_length: Most tokens per text or window, special tokens included.
            stride: Tokens from the start of a window to the start of the next, if the window holds as many.
            pad_token_id: Id used to the right of shorter texts.
            vocab_size: Rows of the model's embedding.

        Raises:
            ArtifactError: It is not a tokenizer, or it is another model's.
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
        self._cut = prefix_rule(self._fast)
        self._can_panic = can_backtrack(self._fast)

    def encode(self, text: str) -> Encoded:
        """Tokenizes the start of a text, as far as the model reads it.

        Args:
            text: A lone surrogate in it, which no UTF-8 file can hold, becomes U+FFFD. No more than its beginning is
                read, see `prefix.beginning`.

        Raises:
            TextError: It has nothing to read, no token but the special ones, the tokenizer fails on it, or
                (TextTypeError) it is no `str`.
        """
        encoding, _, truncated = self._start(text)
        return Encoded(*self._ids(encoding.ids, encoding.type_ids), truncated)

    def encode_many(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenizes the start of each text; args and errors are those of `encode`."""
        results: list[Encoded] = []
        for found in self.try_encode(texts):
            if isinstance(found, TextError):
                raise found
            assert isinstance(found, list)
            results += found
        return results

    def try_encode(self, texts: Sequence[str], *, windows: bool = False) -> list[list[Encoded] | LongText | TextError]:
        """Tokenizes those texts that can be.

        Args:
            texts: As for `encode`.
            windows: Tokenize all of a text, in overlapping windows of `max_length` tokens, instead of its start.

        Returns:
            For each text its windows, or its start alone; a long one as it is, for `windows`; or the error that says
            why there is none.
        """
        results: dict[int, list[Encoded] | LongText | TextError] = {}
        short: dict[int, str] = {}
        for index, text in enumerate(texts):
            error = find_error(index, text)
            if error is not None:
                results[index] = error
            elif windows and len(text) > LONG_TEXT:
                results[index] = LongText(text)
            elif not windows and self._is_long(text):
                results[index] = self._try_encode(index, text, windows=False)
            else:
                short[index] = _without_lone_surrogates(text)
        try:
            encodings = self._guarded(lambda: self._fast.encode_batch(list(short.values())))
        except TextError:  # of one of them
            results |= {index: self._try_encode(index, text, windows=windows) for index, text in short.items()}
        else:
            for index, encoding in zip(short, encodings, strict=True):
                if len(encoding) <= self._special_tokens:
                    results[index] = TextError(index, EMPTY)
                elif windows:
                    results[index] = self._windows(encoding)
                else:
                    ids = self._ids(encoding.ids, encoding.type_ids)
                    results[index] = [Encoded(*ids, bool(encoding.overflowing))]
        return [results[index] for index in range(len(texts))]

    def windows(self, text: str) -> Iterator[Encoded]:
        """Tokenizes all of a text, in overlapping windows, one after the other.

        Args:
            text: As for `encode`.

        Raises:
            TextError: As for `encode`; or the text is longer than this tokenizer can be given in pieces.
        """
        error = find_error(0, text)
        if error is not None:
            raise error
        if len(text) <= LONG_TEXT or self._cut is None:
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
        for window in windows(self._encoding, text, self._cut, length=length, overlap=self._overlap):
            yield Encoded(*self._ids(window.ids, window.type_ids), span=_span(window.offsets))
        if window is None:
            raise TextError(0, EMPTY)

    def locate(self, text: str) -> tuple[Encoded, list[tuple[int, int]]]:
        """Tokenizes the start of a text and tells where its tokens are.

        Returns:
            The token ids, and for each its start and end in characters of the text; added special tokens are nowhere,
            from 0 to 0.

        Raises:
            TextError: As `encode`.
        """
        encoding, start, truncated = self._start(text)
        places = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        offsets = [place if special else (place[0] + start, place[1] + start) for place, special in places]
        return Encoded(*self._ids(encoding.ids, encoding.type_ids), truncated), offsets

    def pad(self, batch: Sequence[Encoded]) -> dict[str, npt.NDArray[np.int64]]:
        """Lays tokenized texts out as model inputs, padded on the right to the longest.

        Returns:
            `input_ids`, `attention_mask` and `token_type_ids`, each (batch, sequence) int64.
        """
        if len(batch) == 1:  # as it is, without a copy
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

    def _start(self, text: str) -> tuple[Encoding, int, bool]:
        """Tokenizes a text as far as the model reads it; tells where that begins, and whether there is more."""
        error = find_error(0, text)
        if error is not None:
            raise error
        start, read = limit_text(text, self._max_length)
        unread = start + len(read) < len(text) and not text[start + len(read) :].isspace()
        read = _without_lone_surrogates(read)
        cut = self._cut
        if cut is not None and self._is_long(read):
            encoding = self._guarded(lambda: encode_prefix(self._fast, read, self._max_length, cut))
        else:
            encoding = self._guarded(lambda: self._fast.encode(read))
        if len(encoding) <= self._special_tokens:
            raise TextError(0, INVISIBLE if unread else EMPTY)
        return encoding, start, bool(encoding.overflowing) or unread

    def _encoding(self, text: str) -> Encoding:
        """Tokenizes all of a text."""
        return self._guarded(lambda: self._fast.encode(_without_lone_surrogates(text)))

    def _guarded(self, encode: Callable[[], Result]) -> Result:
        """Turns a failure of tokenizers into an error of the text."""
        try:
            with silenced_panics() if self._can_panic else contextlib.nullcontext():
                return encode()
        except BaseException as error:
            if isinstance(error, TextError) or not is_tokenizer_failure(error):
                raise
            reason = NO_MEMORY if isinstance(error, MemoryError) else FAILED
            raise TextError(0, reason) from None  # what tokenizers says may hold the text

    def _try_encode(self, index: int, text: str, *, windows: bool) -> list[Encoded] | TextError:
        try:
            return list(self.windows(text)) if windows else [self.encode(text)]
        except TextError as error:
            return TextError(index, error.reason)

    def _windows(self, encoding: Encoding) -> list[Encoded]:
        parts = (encoding, *encoding.overflowing)
        return [Encoded(*self._ids(part.ids, part.type_ids), span=_span(part.offsets)) for part in parts]

    def _is_long(self, text: str) -> bool:
        return len(text) > 2 * CHARACTERS_PER_TOKEN * self._max_length

    def _ids(
        self, ids: Sequence[int], type_ids: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
        return np.array(ids, np.int64), np.array(type_ids, np.int64) if self._has_segments else None


def _without_lone_surrogates(text: str) -> str:
    """Replaces code points that UTF-8 cannot encode, which the tokenizer would refuse, by U+FFFD, one by one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def find_error(index: int, text: object) -> TextError | None:
    """Returns why a text cannot be tokenized, if that can be seen without trying."""
    if not isinstance(text, str):
        return TextTypeError(index, f"expected str, found {type(text).__name__}; pass one str per text")
    return TextError(index, EMPTY) if not text or text.isspace() else None


def _span(offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns where the first token begins and the last ends, added special tokens left out."""
    located = [(start, stop) for start, stop in offsets if stop > start] or [span for span in offsets if any(span)]
    if not located:  # nothing but special tokens that the tokenizer adds
        return 0, 0
    return min(start for start, _ in located), max(stop for _, stop in located)
