"""Kinds of files and encodings, recognized by suffix and first bytes; shared by prediction and training."""

import codecs
from typing import Literal

Format = Literal["csv", "tsv", "jsonl", "lines"]
InputFormat = Literal["csv", "tsv", "jsonl", "lines", "parquet"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "lines"}
DELIMITERS: dict[str, str] = {"csv": ",", "tsv": "\t"}
OTHER_DELIMITERS = ";\t|,"
SNIFFED_BYTES = 1 << 9
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAGIC_NUMBERS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh91AY&SY", "bzip2"),
    (b"PAR1\x15", "Parquet"),
    (b"PK\x03\x04", "zip or Excel"),
    (b"\xd0\xcf\x11\xe0", "Excel"),
    (b"%PDF", "PDF"),
)
MARKUP = ((b"<!doctype", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))  # in any case, after white space
STARTS = tuple(start for start, _ in (*BYTE_ORDER_MARKS, *MAGIC_NUMBERS))


def marked_encoding(start: bytes) -> str | None:
    """Returns the encoding that a byte order mark names; None without one."""
    return next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), None)


def other_format(start: bytes, *, first_line_only: bool = False) -> str | None:
    """Returns the name of a format that is not a table of text.

    Args:
        start: The first bytes of the file.
        first_line_only: Whether to look for markup in the first line alone, because no other has arrived.
    """
    content = markup_start(start, first_line_only=first_line_only)
    by_magic = (name for magic, name in MAGIC_NUMBERS if start.startswith(magic))
    by_markup = (name for tag, name in MARKUP if content.startswith(tag))
    return next(by_magic, None) or next(by_markup, None)


def markup_start(start: bytes, *, first_line_only: bool) -> bytes:
    """Returns the first bytes in lower case, without a byte order mark and white space in front."""
    content = start.removeprefix(codecs.BOM_UTF8)
    return (content.splitlines() or [b""])[0].strip().lower() if first_line_only else content.lstrip().lower()


def looks_like_utf16(start: bytes) -> bool:
    """Returns whether two of the first bytes at even positions, or at odd ones, are 0, as in UTF-16."""
    return max(start[0:8:2].count(0), start[1:8:2].count(0)) >= 2


def is_encoding(name: str) -> bool:
    """Returns whether Python can decode text in the encoding of this name."""
    try:
        codecs.getincrementaldecoder(name)("surrogateescape").decode("a".encode(name), final=True)
    except (LookupError, ValueError):
        return False
    return True


def is_wide(encoding: str) -> bool:
    """Returns whether ASCII takes several bytes, so that one wrong byte shifts all that follow."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
