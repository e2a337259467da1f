"""The texts an export goes by: some to calibrate on, some to choose on, and some to judge on that nothing else sees.

They are found again where training found them, from the checkpoint's `training.json`; this module and the metrics in
`quality` are all that export takes from `training`, because the split must be the very same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from runtime.errors import TextError
from runtime.tokenizer import Encoded, Tokenizer
from training.errors import DataError
from training.record import training_data

from .checkpoint import Source
from .errors import ExportError

SEED = 0


@dataclass(frozen=True)
class Rows:
    """Some texts, and what they should be called.

    Attributes:
        texts: Token ids, cut at the model's length.
        targets: As `training.labels.encode` gives them; None if unknown.
    """

    texts: tuple[Encoded, ...]
    targets: npt.NDArray[Any] | None


@dataclass(frozen=True)
class Evidence:
    """The texts of one export; no text is in two of the three.

    Attributes:
        calibration: From the training part.
        selection: The validation part: any choice is made here.
        test: The test part; None if there is none.
        source: Where they come from, for the manifest.
    """

    calibration: tuple[Encoded, ...]
    selection: Rows
    test: Rows | None
    source: str


def gather(source: Source, tokenizer: Tokenizer, file: Path | None, count: int) -> Evidence:
    """Finds the texts.

    Args:
        source: Its record says which data set it was trained on, and how that was split.
        tokenizer: The runtime's, of this source.
        file: Calibration texts, one per line, UTF-8; None for the training part. Without a record, those beyond `count`
            serve to compare.
        count: How many texts to calibrate on.

    Raises:
        ExportError: There are none, or too few.
    """
    lines = None if file is None else _lines(file)
    if "arguments" not in source.record:
        if lines is None:
            raise ExportError(
                f"{source.folder} has no record of its training data, and int8 needs texts: pass --calibration FILE "
                "with one text per line, or --variants fp32"
            )
        if len(lines) < 2:
            raise ExportError(f"{file}: expected two texts or more, one per line; found {len(lines)}")
        count = min(count, len(lines) // 2)
        rest = Rows(_encode(tokenizer, lines[count:]), None)
        return Evidence(_encode(tokenizer, lines[:count]), rest, None, "file")
    try:
        data = training_data(str(source.folder))
    except DataError as error:
        raise ExportError(f"cannot read the training data again: {error}") from error
    if data.labels != source.labels:
        raise ExportError(f"{source.folder}: its labels are not those of its training data; train again")
    if lines is None:
        texts = random.Random(SEED).sample(data.train.texts, min(count, len(data.train.texts)))  # noqa: S311 - no secret
    else:
        texts = lines[:count]
    return Evidence(
        _encode(tokenizer, texts),
        Rows(_encode(tokenizer, data.validation.texts), data.validation.targets),
        Rows(_encode(tokenizer, data.test.texts), data.test.targets),
        "training part" if lines is None else "file",
    )


def _lines(file: Path) -> list[str]:
    try:
        content = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportError(f"{file} is not UTF-8; save it as UTF-8, one text per line") from error
    except OSError as error:
        raise ExportError(f"cannot read {file}: {error.strerror}") from error
    return [line for line in content.split("\n") if line.strip()]


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Encoded, ...]:
    try:
        return tuple(tokenizer.encode(texts))
    except TextError as error:
        raise ExportError(f"a text to calibrate or compare on cannot be used: {error.reason}") from error
