"""From texts to token ids: the artifact's `tokenizer.json`, cut at the manifest's length, padded with numpy.

Text cleaning is part of `tokenizer.json`, so there is none here.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding
from tokenizers import Tokenizer as FastTokenizer

from .errors import ArtifactError, InferenceError, TextError, TextTypeError
from .prefix import CHARACTERS_PER_TOKEN, cut_of, encode_start

EMPTY = "it is empty or has no visible character, so there is nothing to classify; leave it out or give it words"
SURROGATE = re.compile("[\ud800-\udfff]")
FAILED = "the tokenizer failed; export the artifact again"


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


class Tokenizer:
    """A fast tokenizer with its settings fixed at load, so that threads may share it."""

    def __init__(self, path: Path, *, max_length: int, stride: int, pad_token_id: int, vocab_size: int) -> None:
        """Loads `tokenizer.json`.

        A published file may carry padding and truncation of its own (all-MiniLM's pads every text to 128 tokens), so
        both are replaced. They are set here and never again: changing them while another thread encodes raises
        "Already borrowed".

        Args:
            path: The `tokenizer.json`.
            max_length: Most tokens per text or window, special tokens included.
            stride: Tokens from the start of a window to the start of the next, if the window holds as many.
            pad_token_id: Id used to the right of shorter texts.
            vocab_size: Rows of the model's embedding.

        Raises:
            ArtifactError: The file is not a tokenizer, or it is another model's.
        """
        try:
            self._fast = FastTokenizer.from_file(str(path))
            self._has_segments = any(self._fast.encode("a").type_ids)
        except BaseException as error:
            if not failed(error):
                raise
            raise ArtifactError(
                f"{path.name} is not a tokenizer this version can read; export the artifact again"
            ) from error
        found = self._fast.get_vocab_size(with_added_tokens=True)
        if found > vocab_size:
            raise ArtifactError(
                f"{path.name} has {found} tokens, the model's embedding {vocab_size}: it is another model's tokenizer; "
                "export the artifact again"
            )
        self._special_tokens = self._fast.num_special_tokens_to_add(False)
        if self._special_tokens >= max_length:
            raise ArtifactError(
                f"{path.name} adds {self._special_tokens} special tokens to every text, of which the model reads "
                f"{max_length} tokens; export the artifact again"
            )
        overlap = max(0, max_length - self._special_tokens - stride)
        self._fast.no_padding()
        self._fast.enable_truncation(max_length, stride=overlap)
        self._max_length = max_length
        self._pad_token_id = pad_token_id
        self._ones, self._zeros = np.ones((1, max_length), np.int64), np.zeros((1, max_length), np.int64)
        self._cut = cut_of(self._fast)

    def encode(self, text: str) -> Encoded:
        """Tokenizes the start of a text, as far as the model reads it.

        Args:
            text: A lone surrogate in it, which no UTF-8 file can hold, becomes U+FFFD.

        Raises:
            TextError: It has nothing to read, no token but the special ones, or (TextTypeError) is no `str`.
            InferenceError: The tokenizer itself fails.
        """
        encoding = self._start(text)
        return Encoded(*self._ids(encoding), truncated=bool(encoding.overflowing))

    def encode_many(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenizes the start of each text; args and errors are those of `encode`."""
        results: list[Encoded] = []
        for found in self.try_encode(texts):
            if isinstance(found, TextError):
                raise found
            results += found
        return results

    def try_encode(self, texts: Sequence[str], *, windows: bool = False) -> list[list[Encoded] | TextError]:
        """Tokenizes those texts that can be.

        Args:
            texts: As for `encode`.
            windows: Tokenize all of a text, in overlapping windows of `max_length` tokens, instead of its start.

        Returns:
            For each text its windows, or its start alone; or the error that says why there is none.

        Raises:
            InferenceError: The tokenizer itself fails.
        """
        results: dict[int, list[Encoded] | TextError] = {}
        clean: dict[int, str] = {}
        for index, text in enumerate(texts):
            error = refusal(index, text)
            if error is not None:
                results[index] = error
            elif not windows and self._is_long(text):
                results[index] = self._try_encode_start(index, text)
            else:
                clean[index] = _without_lone_surrogates(text)
        try:
            encodings = self._fast.encode_batch(list(clean.values()))
        except BaseException as cause:
            if not failed(cause):
                raise
            raise InferenceError(FAILED) from cause
        for index, encoding in zip(clean, encodings, strict=True):
            if len(encoding) <= self._special_tokens:
                results[index] = TextError(index, EMPTY)
            elif windows:
                parts = (encoding, *encoding.overflowing)
                results[index] = [Encoded(*self._ids(part), span=_span(part.offsets)) for part in parts]
            else:
                results[index] = [Encoded(*self._ids(encoding), truncated=bool(encoding.overflowing))]
        return [results[index] for index in range(len(texts))]

    def encode_windows(self, text: str) -> list[Encoded]:
        """Tokenizes all of a text, in overlapping windows; args and errors are those of `encode`."""
        (found,) = self.try_encode([text], windows=True)
        if isinstance(found, TextError):
            raise found
        return found

    def locate(self, text: str) -> tuple[Encoded, list[tuple[int, int]]]:
        """Tokenizes the start of a text and tells where its tokens are.

        Returns:
            The token ids, and for each its start and end in characters of the text; added special tokens are nowhere,
            from 0 to 0.

        Raises:
            TextError: As `encode`.
            InferenceError: The tokenizer itself fails.
        """
        encoding = self._start(text)
        return Encoded(*self._ids(encoding), truncated=bool(encoding.overflowing)), encoding.offsets

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

    def _start(self, text: str) -> Encoding:
        """Tokenizes a text as far as the model reads it, with some of what does not fit in `overflowing`."""
        error = refusal(0, text)
        if error is not None:
            raise error
        clean = _without_lone_surrogates(text)
        try:
            if self._cut is not None and self._is_long(clean):
                encoding = encode_start(self._fast, clean, self._max_length, self._cut)
            else:
                encoding = self._fast.encode(clean)
        except BaseException as cause:
            if not failed(cause):
                raise
            raise InferenceError(FAILED) from cause
        if len(encoding) <= self._special_tokens:
            raise TextError(0, EMPTY)
        return encoding

    def _try_encode_start(self, index: int, text: str) -> list[Encoded] | TextError:
        try:
            return [self.encode(text)]
        except TextError as error:
            return TextError(index, error.reason)

    def _is_long(self, text: str) -> bool:
        return len(text) > 2 * CHARACTERS_PER_TOKEN * self._max_length

    def _ids(self, encoding: Encoding) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
        type_ids = np.array(encoding.type_ids, np.int64) if self._has_segments else None
        return np.array(encoding.ids, np.int64), type_ids


def failed(error: BaseException) -> bool:
    """Tells a failure of tokenizers, which raises bare `Exception` or a Rust panic, from an interruption."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _without_lone_surrogates(text: str) -> str:
    """Replaces code points that UTF-8 cannot encode, which the tokenizer would refuse, by U+FFFD, one by one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def refusal(index: int, text: object) -> TextError | None:
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
