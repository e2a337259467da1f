"""The protobuf wire format: https://protobuf.dev/programming-guides/encoding. Knows no message types."""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BITS = 63
MAX_KEY = 1 << 32


class Field(NamedTuple):
    """A field of a message: its number, its wire type, and the positions of its start, its content and its end."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """Yields the fields of one message without reading their content.

    Raises:
        ValueError: The bytes are not a message.
        IndexError: They end within a number.
    """
    position = start
    while position < end:
        key, content = _read_varint(data, position)
        if key >= MAX_KEY:  # onnxruntime drops the upper bits, so it would see a field that was not checked here
            raise ValueError("a key of more than 32 bits")
        number, wire_type = key >> 3, key & 7
        if wire_type == BYTES:
            length, content = _read_varint(data, content)
            after = content + length
        elif wire_type == VARINT:
            _, after = _read_varint(data, content)
        elif wire_type in (FIXED32, FIXED64):
            after = content + (4 if wire_type == FIXED32 else 8)
        else:
            raise ValueError(f"wire type {wire_type}")
        if after > end:
            raise ValueError("a field ends after its message")
        yield Field(number, wire_type, position, content, after)
        position = after


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > MAX_VARINT_BITS:
            raise ValueError("a number of more than 64 bits")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def bytes_field(field: int, content: bytes | str) -> bytes:
    """Encodes a field that holds bytes, a string or a message."""
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | BYTES) + _varint(len(content)) + content


def varint_field(field: int, value: int) -> bytes:
    """Encodes a field that holds a non-negative integer."""
    return _varint(field << 3 | VARINT) + _varint(value)
