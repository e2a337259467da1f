"""Reads the texts in a table's text columns."""

from collections.abc import Sequence

from ..errors import DataError
from .table import Table


def joined_texts(table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Returns the text of every row: its fields, joined by a space.

    Raises:
        DataError: A field is not a string, or a text is empty. The message has the row's number, from 1.
    """
    texts = []
    for number, row in enumerate(table.fields(columns), start=1):
        for column, value in zip(columns, row, strict=True):
            if not isinstance(value, str):
                raise DataError(
                    f"{table.name}: row {number}, column {column!r}: expected text, found {type(value).__name__}"
                )
        text = " ".join(field for field in row if field)
        # A JSON file can contain half of a surrogate pair, which tokenizers reject.
        texts.append(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    empty = [number for number, text in enumerate(texts, start=1) if not text.strip()]
    if empty:
        raise DataError(
            f"{table.name}: {len(empty)} rows have an empty text in {', '.join(columns)}; the first is row {empty[0]}; "
            "remove them"
        )
    return tuple(texts)
