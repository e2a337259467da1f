"""The plan of a job: its inputs, what identifies them, and the parts in which they are scored.

A plan is made once, in one pass over the inputs, and kept with the output, so that every process, on any machine and
after any interruption, scores the same parts.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..files.chunks import spans
from ..files.inputs import InputFile
from ..files.lines import Position
from ..files.records import Layout, Span
from ..files.storage import Status, reading_errors


@dataclass(frozen=True)
class Part:
    """A part: consecutive rows of one input, and one file of the output.

    Attributes:
        number: Number of the part, from 0.
        file: Position of its input.
        index: Number of rows of the whole input before it.
        span: Its rows in the input.
    """

    number: int
    file: int
    index: int
    span: Span

    def to_json(self) -> str:
        """Returns a line of the plan."""
        span = self.span
        fields = {"part": self.number, "file": self.file, "index": self.index, "row": span.row, "rows": span.rows}
        position = None if span.position is None else list(span.position)
        return json.dumps(fields | {"position": position})

    @classmethod
    def from_json(cls, line: str) -> "Part":
        """Returns the part of a line of the plan."""
        found = json.loads(line)
        position = None if found["position"] is None else Position(*found["position"])
        return cls(found["part"], found["file"], found["index"], Span(found["row"], found["rows"], position))


def make_plan(files: Sequence[InputFile], layouts: Sequence[Layout], rows: int, *, typed: bool) -> list[Part]:
    """Divides the inputs into parts.

    Args:
        files: The inputs.
        layouts: The layout of each.
        rows: Number of rows of a part.
        typed: As for `InputReader`.

    Raises:
        InputError: An input cannot be read, or lacks a column, or their columns to keep have not the same types.
    """
    parts: list[Part] = []
    index = 0
    for number, (file, layout) in enumerate(zip(files, layouts, strict=True)):
        for span in spans(file, layout, rows, typed=typed):
            parts.append(Part(len(parts), number, index, span))
            index += span.rows
    if typed and len(files) > 1:
        from ..files.parquet import check_types  # noqa: PLC0415 - needs pyarrow

        check_types(files, layouts)
    return parts


def fingerprint(file: InputFile, status: Status) -> dict[str, Any]:
    """Returns what identifies an input: name, size, and SHA-256, or in an object store the time of its last change.

    Raises:
        InputError: The file cannot be read.
    """
    found: dict[str, Any] = {"name": file.name, "format": file.form, "size_bytes": status.size}
    if not file.storage.is_local:
        return found | {"modified": status.modified}
    with reading_errors(file.path), file.storage.open(file.path) as opened:
        return found | {"sha256": hashlib.file_digest(opened, "sha256").hexdigest()}  # type: ignore[arg-type]


def differences(earlier: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yields what differs between two values from JSON, for example `options.top_k: 3, now 5`."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*earlier, *now]):
            yield from differences(earlier.get(key), now.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(earlier, list) and isinstance(now, list) and len(earlier) == len(now):
        for position, (one, other) in enumerate(zip(earlier, now, strict=True)):
            yield from differences(one, other, f"{name}[{position}]")
    elif earlier != now:
        yield f"{name}: {_short(earlier)}, now {_short(now)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} items"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:20] + "..."
