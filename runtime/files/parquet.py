"""Reads texts from Parquet and writes predictions to it, in bounded memory, with pyarrow (extra `files`)."""

import contextlib
import io
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Self

from ..decision.prediction import Prediction
from ..errors import InputError
from ..extras import needs_extra
from .inputs import InputFile
from .prediction_columns import prediction_columns, prediction_values
from .records import DEFAULT_COLUMN, Chunk, Id, Layout, Place, Record, Span
from .row_content import similar

with needs_extra("files", "Parquet needs pyarrow"):
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 512
TYPES = {
    "string": pa.string(),
    "strings": pa.list_(pa.string()),
    "float": pa.float32(),
    "bool": pa.bool_(),
    "int": pa.int32(),
}
ROW_GROUP_ROWS = 8192  # rows that the writer holds in memory


def version() -> str:
    """Returns the version of pyarrow, on which the bytes of a file depend."""
    return str(pa.__version__)


def count_rows(file: InputFile, layout: Layout, *, typed: bool) -> int:
    """Returns the number of rows; arguments are those of `read_parquet`.

    Raises:
        InputError: The file is not Parquet, lacks a column, or a text column is not of strings.
    """
    with _opened(file) as parquet:
        _check_columns(parquet.schema_arrow, layout, typed=typed)
        return int(parquet.metadata.num_rows)


def kept_types(file: InputFile, layout: Layout) -> list[pa.DataType]:
    """Returns the types of the id column, if there is one, and of the columns to keep; strings unless it is Parquet."""
    if file.form != "parquet" or not _kept(layout):
        return [pa.string() for _ in _kept(layout)]
    with _opened(file) as parquet:
        return [parquet.schema_arrow.field(column).type for column in _kept(layout)]


def check_types(files: Sequence[InputFile], layouts: Sequence[Layout]) -> None:
    """Checks that the columns to keep have the same types in all inputs, so that the parts are one table.

    Strings may be of any kind, because readers take one for the other.

    Raises:
        InputError: They have not.
    """
    first = kept_types(files[0], layouts[0])
    for file, layout in zip(files[1:], layouts[1:], strict=True):
        for column, one, other in zip(_kept(layout), first, kept_types(file, layout), strict=True):
            if one != other and not (_is_text(one) and _is_text(other)):
                raise InputError(
                    f"the column {column!r} has the type {one} in {files[0].name} and {other} in {file.name}; "
                    "the parts would not be one table, so score them as two jobs"
                )


def read_parquet(file: InputFile, layout: Layout, span: Span, first_index: int, *, typed: bool) -> Iterator[Chunk]:
    """Yields the records of a span, a batch of rows at a time.

    Args:
        file: The file.
        layout: Its text columns, and those to keep.
        span: The rows.
        first_index: Number of records before the file.
        typed: Whether to keep the columns as they are, in `Chunk.kept`; else they become values of JSON.

    Raises:
        InputError: The file cannot be read, or lacks a column.
    """
    with _opened(file) as parquet:
        _check_columns(parquet.schema_arrow, layout, typed=typed)
        row = span.row
        for batch in _batches(parquet, [*layout.text_columns, *_kept(layout)], span):
            texts = zip(*(values(batch.column(column)) for column in layout.text_columns), strict=True)
            columns = [batch.column(column) for column in _kept(layout)]
            whole = pa.RecordBatch.from_arrays(columns, names=_kept(layout)) if typed and columns else None
            plain = zip(*map(_plain, columns), strict=True) if columns and not typed else itertools.repeat(())
            records = [
                _record(first_index + at, at + 1, found, kept, layout)
                for at, (found, kept) in enumerate(zip(texts, plain, strict=False), row)
            ]
            row += len(records)
            yield Chunk(records, whole)
        if row < span.row + span.rows:
            raise InputError("it has fewer rows than before; it was changed while it was read")


class ParquetWriter:
    """Writes predictions with the columns that they belong to."""

    def __init__(
        self,
        output: IO[bytes] | io.RawIOBase,
        labels: Sequence[str],
        kept: Sequence[tuple[str, Any]],
        *,
        top_k: int | None = None,
    ) -> None:
        """Writes nothing yet.

        Args:
            output: Receives the file.
            labels: Labels of the classifier.
            kept: Names and types of the columns to keep, with the id first.
            top_k: Number of labels and scores of a row at most; None for the scores of all labels.
        """
        self._labels, self._top_k = labels, top_k
        self._kept = [pa.field(name, type_) for name, type_ in kept]
        columns = [pa.field(name, TYPES[kind]) for name, kind in prediction_columns(labels, top_k)]
        self._schema = pa.schema([pa.field("index", pa.int64()), *self._kept, *columns])
        self._writer = pq.ParquetWriter(output, self._schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, records: Sequence[Record], found: Sequence[Prediction], kept: Any = None) -> int:
        """Writes rows and returns their number.

        Args:
            records: The records.
            found: Their predictions.
            kept: The columns to keep, as a RecordBatch; None if the records have them.
        """
        if not records:
            return 0
        if kept is not None:
            columns = [kept.column(at).cast(field.type) for at, field in enumerate(self._kept)]
        else:
            columns = [
                pa.array([_text(record.kept[at]) for record in records], field.type)
                for at, field in enumerate(self._kept)
            ]
        arrays = [
            pa.array([record.index for record in records], pa.int64()),
            *columns,
            *prediction_arrays(found, self._labels, self._top_k),
        ]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows += len(records)
        if self._rows >= ROW_GROUP_ROWS:
            self._flush()
        return len(records)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Writes the rest and the footer; after an error, nothing more."""
        if kind is None:
            self._flush()
            self._writer.close()
        elif self._writer.is_open:
            with contextlib.suppress(Exception):  # without the file, such as on a full disk
                self._writer.close()
            self._writer.is_open = False  # or its __del__ would write to a closed file

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=self._rows)
            self._waiting, self._rows = [], 0


def prediction_arrays(
    found: Sequence[Prediction | None], labels: Sequence[str], top_k: int | None
) -> Iterator[pa.Array]:
    """Yields the columns of `prediction_columns`; a missing prediction is null."""
    for (_, kind), column in zip(
        prediction_columns(labels, top_k), prediction_values(found, labels, top_k), strict=True
    ):
        yield pa.array(column, TYPES[kind])


@contextlib.contextmanager
def _opened(file: InputFile) -> Iterator[pq.ParquetFile]:
    with file.open() as opened:
        try:
            with pq.ParquetFile(opened, pre_buffer=False) as parquet:
                yield parquet
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # its message may quote the file
            raise InputError("it is not Parquet, or it is damaged or cut off") from error


def _kept(layout: Layout) -> list[str]:
    return [*([] if layout.id_column is None else [layout.id_column]), *layout.keep]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _check_columns(schema: pa.Schema, layout: Layout, *, typed: bool) -> None:
    for column in (*layout.text_columns, *_kept(layout)):
        found = schema.names.count(column)
        if found > 1:
            raise InputError(f"it has the column {column!r} {found} times; give each a name of its own")
        if not found:
            near = similar(schema.names, column)
            option = "--text-column" if column in layout.text_columns else "--keep or --id-column"
            name = f"of the name in {option}" if column != DEFAULT_COLUMN else repr(column)
            hint = repr(near) if near else f"{', '.join(map(repr, schema.names)):.400}"
            raise InputError(f"it has no column {name}; it has {hint}")
    for column in layout.text_columns:
        kind = schema.field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not _is_text(kind):
            raise InputError(f"the column {column!r} has the type {kind}; expected strings, see --text-column")
    for column in _kept(layout):
        kind = schema.field(column).type
        has_text = not isinstance(kind, pa.BaseExtensionType) and "binary" not in str(kind)
        if not typed and (pa.types.is_nested(kind) or pa.types.is_duration(kind) or not has_text):
            raise InputError(f"the column {column!r} has the type {kind}, which only an output in Parquet can keep")


def _batches(parquet: pq.ParquetFile, columns: Iterable[str], span: Span) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a span, without the row groups before and after it."""
    start, end = span.row, span.row + span.rows
    first, groups = 0, []
    before = 0
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if first + rows <= start:
            before = first + rows
        elif first < end:
            groups.append(group)
        first += rows
    row = before
    if not groups:
        return
    for batch in parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(dict.fromkeys(columns))):
        low, high = max(start - row, 0), min(end - row, len(batch))
        if low < high:
            yield batch.slice(low, high - low)
        row += len(batch)
        if row >= end:
            return


def select(batch: pa.RecordBatch, rows: Sequence[int]) -> pa.RecordBatch:
    """Returns rows of a batch; `take` does not know every type."""
    return pa.concat_batches([batch.slice(0, 0), *(batch.slice(row, 1) for row in rows)])


def values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Returns the values of a column; bytes for strings that are not UTF-8."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return [_value(scalar) for scalar in column.cast(pa.large_binary())]


def _value(scalar: pa.Scalar) -> str | bytes | None:
    value = scalar.as_py()
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return bytes(value)


def _plain(column: pa.Array) -> list[Any]:
    """Returns the values of a column as JSON has them; those that it does not have become text, or None for NaN."""
    kind = column.type
    if pa.types.is_floating(kind):
        return [value if value is not None and math.isfinite(value) else None for value in column.to_pylist()]
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return list(column.to_pylist())
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    texts = column if pa.types.is_string(kind) else column.cast(pa.large_string())
    return values(texts)


def _text(value: Any) -> str | None:
    """Returns a value of JSON as it is written into a column of strings."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _record(index: int, row: int, columns: Sequence[Any], values: Sequence[Any], layout: Layout) -> Record:
    if values and any(isinstance(value, bytes) for value in values):
        return Record(index, "", None, "a column to keep is not UTF-8", (), Place(row))
    identity: Id = None
    if layout.id_column is not None and values:
        identity, values = values[0], values[1:]
    for at, text in enumerate(columns):
        if not isinstance(text, str):
            name = layout.text_columns[at]
            known = repr(name) if name != DEFAULT_COLUMN else "text"
            reason = f"its {known} is missing" if text is None else f"its {known} is not UTF-8"
            return Record(index, "", identity, reason, tuple(values), Place(row))
    text = columns[0] if len(columns) == 1 else " ".join(filter(None, columns))
    return Record(index, text, identity, None, tuple(values), Place(row))
