"""Calibration, validation and test texts of an export.

`training.json` names the data set of training. It is read again, cleaned and split by training's own code, so that a
text is in the same split as in training.
"""

import io
import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from runtime.errors import TextError
from runtime.text.tokenizer import Encoded, Tokenizer
from training.arguments import DataArguments
from training.data.cleaning import dedup_key
from training.data.dataset import LabelledData
from training.data.record import RECORD, training_data
from training.errors import DataError

from ..errors import ExportError
from .source import Source

SEED = 0
MAX_BYTES = 1 << 26
MAX_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class LabelledTexts:
    """Tokenized texts with their targets.

    Attributes:
        texts: Token ids, truncated at the model's length.
        targets: Of `training.data.labels.encode`, one row per text; None if unknown.
    """

    texts: tuple[Encoded, ...]
    targets: npt.NDArray[Any] | None


@dataclass(frozen=True)
class EvaluationData:
    """The texts of one export. No row is in two of the three splits, and no text of a calibration file is.

    Attributes:
        calibration: Texts of the training split, or of a file.
        validation: The validation split, on which every choice is made.
        test: The test split; None if there is none.
        source: Origin of the calibration texts, for the manifest.
    """

    calibration: tuple[Encoded, ...]
    validation: LabelledTexts
    test: LabelledTexts | None
    source: str


def load_splits(source: Source, tokenizer: Tokenizer, file: Path | None, count: int) -> EvaluationData:
    """Reads the texts of an export.

    Args:
        source: Its record names the data set and the split of training.
        tokenizer: The runtime's, of this source.
        file: Calibration texts, one per line, UTF-8; None for the training split. A text that occurs twice is used
            once, and one that is in the validation or test split after cleaning is skipped. Without a record, the texts
            beyond `count` are the validation texts.
        count: Number of calibration texts, at most.

    Raises:
        ExportError: There are no texts, or too few, or they cannot be read.
    """
    if "data_arguments" not in source.record:
        return _from_file_alone(source, tokenizer, file, count)
    data = _training_data(source)
    if file is None:
        count = min(count, len(data.train.texts))
        texts = _encode(tokenizer, random.Random(SEED).sample(data.train.texts, count))  # noqa: S311 - no secret
    else:
        key = dedup_key(DataArguments(**source.record["data_arguments"]).cleaning)
        fresh = _fresh(file, key, {*data.validation.keys, *data.test.keys})
        texts = _encode_lines(file, tokenizer, dict(itertools.islice(fresh, count)))
        if not texts:
            raise ExportError(
                f"{file}: expected calibration texts, one per line; found none outside the validation and test splits"
            )
    return EvaluationData(
        calibration=texts,
        validation=LabelledTexts(_encode(tokenizer, data.validation.texts), data.validation.targets),
        test=LabelledTexts(_encode(tokenizer, data.test.texts), data.test.targets),
        source="training part" if file is None else "file",
    )


def _from_file_alone(source: Source, tokenizer: Tokenizer, file: Path | None, count: int) -> EvaluationData:
    """Splits the texts of a file into calibration and validation texts, at most half of them for calibration."""
    if file is None:
        raise ExportError(
            f"{source.folder} has no record of its training data, and int8 and fp16 need calibration texts: pass "
            "--calibration FILE with one text per line, or --variants fp32"
        )
    texts = _encode_lines(file, tokenizer, _lines(file))
    if len(texts) < 2:
        raise ExportError(f"{file}: expected at least two distinct texts, one per line; found {len(texts)}")
    count = min(count, len(texts) // 2)
    return EvaluationData(texts[:count], LabelledTexts(texts[count:], None), None, "file")


def _training_data(source: Source) -> LabelledData:
    """Reads the data set of training again, split the same way."""
    try:
        data = training_data(str(source.folder))
    except DataError as error:
        raise ExportError(
            f"cannot read the training data again: {error}. Restore the data that {source.folder}/{RECORD} names, "
            "or pass --variants fp32"
        ) from error
    if data.labels != source.labels:
        raise ExportError(f"{source.folder}: its labels differ from those of its training data; train again")
    return data


def _lines(file: Path) -> dict[str, int]:
    """Returns the distinct texts of a file with the number of their first line."""
    try:
        content = _content(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportError(f"{file} is not UTF-8; save it as UTF-8, one text per line") from error
    except OSError as error:
        raise ExportError(f"cannot read {file}: {error.strerror}") from error
    numbers: dict[str, int] = {}
    for number, line in enumerate(io.StringIO(content, newline=None), start=1):
        if len(line) > MAX_CHARACTERS:
            raise ExportError(
                f"{file}: line {number} has more than {MAX_CHARACTERS} characters; write one text per line"
            )
        if line.strip():
            numbers.setdefault(line.removesuffix("\n"), number)
    return numbers


def _content(file: Path) -> bytes:
    """Reads a regular file of at most `MAX_BYTES`."""
    if file.exists() and not file.is_file():
        raise ExportError(f"{file} is not a regular file; write the texts to a file, one per line")
    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ExportError(
            f"{file} has more than {MAX_BYTES >> 20} MiB; calibration needs a few hundred texts, pass a sample"
        )
    return content


def _fresh(file: Path, key: Callable[[str], str], held_out: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yields the lines of a file, and their numbers, whose key is not held out."""
    for line, number in _lines(file).items():
        try:
            if key(line) not in held_out:
                yield line, number
        except DataError as error:
            raise ExportError(
                f"{file}: line {number}: the cleaning of training fails on it; remove the line"
            ) from error


def _encode_lines(file: Path, tokenizer: Tokenizer, lines: dict[str, int]) -> tuple[Encoded, ...]:
    try:
        return tuple(tokenizer.encode_many(list(lines)))
    except TextError as error:
        raise ExportError(f"{file}: line {list(lines.values())[error.position]}: {error.reason}") from error


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Encoded, ...]:
    try:
        return tuple(tokenizer.encode_many(texts))
    except TextError as error:
        raise ExportError(f"a text of the training data cannot be used: {error.reason}") from error
