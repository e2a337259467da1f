"""The texts an export goes by: some to calibrate on, some to choose on, and some to judge on that nothing else sees.

They are found again where training found them, from the checkpoint's `training.json`. Split, cleaning, metrics
and decisions are all that export takes from `training`, because they must be the very same.
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
from training.data.record import RECORD, training_data
from training.errors import DataError

from ..errors import ExportError
from .checkpoint import Source

SEED = 0
MAX_BYTES = 1 << 26
MAX_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class LabelledTexts:
    """Some texts, and what they should be called.

    Attributes:
        texts: Token ids, cut at the model's length.
        targets: As `training.data.labels.encode` gives them; None if unknown.
    """

    texts: tuple[Encoded, ...]
    targets: npt.NDArray[Any] | None


@dataclass(frozen=True)
class EvaluationData:
    """The texts of one export; no row is in two of the three, and no text of a file.

    Attributes:
        calibration: From the training part.
        validation: The validation part: any choice is made here.
        test: The test part; None if there is none.
        source: Where they come from, for the manifest.
    """

    calibration: tuple[Encoded, ...]
    validation: LabelledTexts
    test: LabelledTexts | None
    source: str


def load_splits(source: Source, tokenizer: Tokenizer, file: Path | None, count: int) -> EvaluationData:
    """Finds the texts.

    Args:
        source: Its record says which data set it was trained on, and how that was split.
        tokenizer: The runtime's, of this source.
        file: Calibration texts, one per line, UTF-8; None for the training part. A text that comes again is taken once,
            one that is, cleaned, a held-out one not at all. Without a record, those beyond `count` serve to compare.
        count: How many texts to calibrate on.

    Raises:
        ExportError: There are none, or too few.
    """
    if "data_arguments" not in source.record:
        if file is None:
            raise ExportError(
                f"{source.folder} has no record of its training data, and int8 and fp16 need texts: pass "
                "--calibration FILE with one text per line, or --variants fp32"
            )
        texts = _encode_lines(file, tokenizer, _lines(file))
        if len(texts) < 2:
            raise ExportError(f"{file}: expected two different texts or more, one per line; found {len(texts)}")
        count = min(count, len(texts) // 2)
        return EvaluationData(texts[:count], LabelledTexts(texts[count:], None), None, "file")
    try:
        data = training_data(str(source.folder))
    except DataError as error:
        raise ExportError(
            f"cannot read the training data again: {error}. Put it back as {source.folder}/{RECORD} has it, "
            "or pass --variants fp32"
        ) from error
    if data.labels != source.labels:
        raise ExportError(f"{source.folder}: its labels are not those of its training data; train again")
    if file is None:
        count = min(count, len(data.train.texts))
        texts = _encode(tokenizer, random.Random(SEED).sample(data.train.texts, count))  # noqa: S311 - no secret
    else:
        key = dedup_key(DataArguments(**source.record["data_arguments"]).cleaning)
        fresh = _fresh(file, key, {*data.validation.keys, *data.test.keys})
        texts = _encode_lines(file, tokenizer, dict(itertools.islice(fresh, count)))
        if not texts:
            raise ExportError(f"{file}: expected texts to calibrate on, one per line; found none but held-out ones")
    return EvaluationData(
        texts,
        LabelledTexts(_encode(tokenizer, data.validation.texts), data.validation.targets),
        LabelledTexts(_encode(tokenizer, data.test.texts), data.test.targets),
        "training part" if file is None else "file",
    )


def _lines(file: Path) -> dict[str, int]:
    """Reads the texts of a file, each once, and the numbers of their lines."""
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
    """Reads a file that has an end, and that not far away."""
    if file.exists() and not file.is_file():
        raise ExportError(f"{file} is no regular file; write the texts to one, one text per line")
    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ExportError(
            f"{file} has more than {MAX_BYTES >> 20} MiB; calibration takes some hundred texts, pass a sample of them"
        )
    return content


def _fresh(file: Path, key: Callable[[str], str], seen: Collection[str]) -> Iterator[tuple[str, int]]:
    """Leaves out the texts whose key was seen."""
    for line, number in _lines(file).items():
        try:
            if key(line) not in seen:
                yield line, number
        except DataError as error:
            raise ExportError(f"{file}: line {number}: training's cleaning fails on it; leave it out") from error


def _encode_lines(file: Path, tokenizer: Tokenizer, lines: dict[str, int]) -> tuple[Encoded, ...]:
    try:
        return tuple(tokenizer.encode_many(list(lines)))
    except TextError as error:
        raise ExportError(f"{file}: line {list(lines.values())[error.position]}: {error.reason}") from error


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Encoded, ...]:
    try:
        return tuple(tokenizer.encode_many(texts))
    except TextError as error:
        raise ExportError(f"a text to calibrate or compare on cannot be used: {error.reason}") from error
