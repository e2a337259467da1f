"""From texts to token ids: the artifact's `tokenizer.json`, cut at the manifest's length, padded with numpy.

Text cleaning is part of `tokenizer.json`, so there is none here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as FastTokenizer

from .errors import ArtifactError, InferenceError, TextError, TextTypeError

EMPTY = "it is empty or has no visible character, so there is nothing to classify; leave it out or give it words"


@dataclass(frozen=True)
class Encoded:
    """The token ids of one text.

    Attributes:
        ids: Token ids, special tokens included, without padding.
        type_ids: Segment of each token: 0 throughout for a single text, except where the tokenizer says otherwise.
        truncated: The text had more tokens than the model reads.
    """

    ids: list[int]
    type_ids: list[int]
    truncated: bool


class Tokenizer:
    """A fast tokenizer with its settings fixed at load, so that threads may share it."""

    def __init__(self, path: Path, *, max_length: int, pad_token_id: int, vocab_size: int) -> None:
        """Loads `tokenizer.json`.

        A published file may carry padding and truncation of its own (all-MiniLM's pads every text to 128 tokens), so
        both are replaced. They are set here and never again: changing them while another thread encodes raises
        "Already borrowed".

        Args:
            path: The `tokenizer.json`.
            max_length: Most tokens per text, special tokens included.
            pad_token_id: Id used to the right of shorter texts.
            vocab_size: Rows of the model's embedding.

        Raises:
            ArtifactError: The file is not a tokenizer, or it is another model's.
        """
        try:
            self._fast = FastTokenizer.from_file(str(path))
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
        self._fast.no_padding()
        self._fast.enable_truncation(max_length)
        self._pad_token_id = pad_token_id
        self._special_tokens = self._fast.num_special_tokens_to_add(False)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenizes texts.

        A lone surrogate, which no UTF-8 file can hold, becomes U+FFFD.

        Args:
            texts: Any number of texts.

        Raises:
            TextTypeError: One is not a `str`.
            TextError: One has nothing to read: no token is left but the special ones.
            InferenceError: The tokenizer itself fails.
        """
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TextTypeError(index, f"expected str, found {type(text).__name__}; pass one str per text")
        try:
            encodings = self._fast.encode_batch([_without_lone_surrogates(text) for text in texts])
        except BaseException as error:
            if not failed(error):
                raise
            raise InferenceError("the tokenizer failed; export the artifact again") from error
        for index, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            if not text.strip() or len(encoding.ids) <= self._special_tokens:
                raise TextError(index, EMPTY)
        return [Encoded(encoding.ids, encoding.type_ids, bool(encoding.overflowing)) for encoding in encodings]

    def pad(self, batch: Sequence[Encoded]) -> dict[str, npt.NDArray[np.int64]]:
        """Lays tokenized texts out as model inputs, padded on the right to the longest.

        Returns:
            `input_ids`, `attention_mask` and `token_type_ids`, each (batch, sequence) int64.
        """
        shape = len(batch), max(len(encoded.ids) for encoded in batch)
        input_ids = np.full(shape, self._pad_token_id, np.int64)
        attention_mask = np.zeros(shape, np.int64)
        token_type_ids = np.zeros(shape, np.int64)
        for row, encoded in enumerate(batch):
            length = len(encoded.ids)
            input_ids[row, :length] = encoded.ids
            attention_mask[row, :length] = 1
            token_type_ids[row, :length] = encoded.type_ids
        return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


def failed(error: BaseException) -> bool:
    """Tells a failure of tokenizers, which raises bare `Exception` or a Rust panic, from an interruption."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _without_lone_surrogates(text: str) -> str:
    """Replaces code points that UTF-8 cannot encode, which the tokenizer would refuse, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
