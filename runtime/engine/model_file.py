"""Reads an ONNX file's structure without the onnx package, so that onnxruntime maps its weights and copies none.

onnxruntime parses a self-contained file whole and then copies every weight out of the parse: MiniLM in fp32 (91 MB)
peaks at 197 MB and takes 130 ms. Weights that lie in a *separate* file it maps and reads where they are needed:
144 MB with a 512-token text, 104 MB with a short one, 49 ms. So `strip_weights` copies the model without its
large weights and points each of them back into the very file it came from. The artifact itself stays one plain file
that every tool can read.

Knows the protobuf wire format (https://protobuf.dev/programming-guides/encoding) and some fields of onnx.proto, such as
ModelProto.graph 7 and opset_import 8, OperatorSetIdProto.domain 1, GraphProto.node 1 and initializer 5, NodeProto.input
1, TensorProto.name 8, raw_data 9, external_data 13 and data_location 14.
"""

import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import ArtifactError

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
MAPPED_FROM_BYTES = 4096
MAX_VARINT_BITS = 63
MAX_KEY = 1 << 32

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_OPSET_DOMAIN = 1
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT = 1
# Where tensors can be: message -> field number -> message in that field.
_NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse_tensor", 23: "sparse_tensor"},
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}
_TENSOR_NAME, _TENSOR_RAW_DATA, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 9, 13, 14


class _Field(NamedTuple):
    """One protobuf field: its number, wire type, and where field, content and end lie in the file."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def load_without_weights(path: Path) -> bytes:
    """Maps an ONNX file and returns its `strip_weights`."""
    with path.open("rb") as file:
        if not path.stat().st_size:  # nothing cannot be mapped
            return strip_weights(memoryview(b""), path.name)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as model:
            return strip_weights(model, path.name)


def strip_weights(model: memoryview, location: str) -> bytes:
    """Copies an ONNX model, replacing each large weight by a reference into the file it came from.

    Args:
        model: The bytes of a self-contained ONNX file, memory-mapped.
        location: Name of that file, relative to the folder that onnxruntime is told to look in.

    Returns:
        A serialized ModelProto of some 100 KB.

    Raises:
        ArtifactError: The bytes are not a ModelProto, or the model refers to other files or to operator domains that
            onnxruntime does not bring along.
    """
    try:
        if all(field.number != _MODEL_GRAPH for field in _fields(model, 0, len(model))):
            raise ValueError("no graph")
        _check_domains(model, location)
        _refuse_external_data(model, "model", 0, len(model), location)
        return _with_graph(model, lambda graph: _graph(model, graph, location))
    except (IndexError, ValueError, RecursionError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{location} is not an ONNX model; export it again") from error


def unshare_initializers(small: bytes) -> bytes:
    """Gives every node of a stripped model initializers of its own; weights are only references there."""
    model = memoryview(small)
    return _with_graph(model, lambda graph: _separated(model, graph))


def _with_graph(model: memoryview, rewritten: Callable[[_Field], Iterator[bytes]]) -> bytes:
    """Copies a model with another graph."""
    parts = []
    for field in _fields(model, 0, len(model)):
        if field.number == _MODEL_GRAPH and field.wire_type == _BYTES:
            parts.append(bytes_field(_MODEL_GRAPH, b"".join(rewritten(field))))
        else:
            parts.append(bytes(model[field.start : field.end]))
    return b"".join(parts)


def _separated(model: memoryview, graph: _Field) -> Iterator[bytes]:
    """Has the first node that reads an initializer keep it, and every other one read a copy by another name."""
    fields = list(_fields(model, graph.content, graph.end))
    nameless: dict[bytes, bytes] = {}  # what an initializer is apart from its name
    for tensor in fields:
        if tensor.number == _GRAPH_INITIALIZER:
            parts = list(_fields(model, tensor.content, tensor.end))
            (name,) = (bytes(model[part.content : part.end]) for part in parts if part.number == _TENSOR_NAME)
            nameless[name] = b"".join(bytes(model[p.start : p.end]) for p in parts if p.number != _TENSOR_NAME)
    readers: Counter[bytes] = Counter()
    for field in fields:
        if field.number != _GRAPH_NODE:
            yield bytes(model[field.start : field.end])
            continue
        node = []
        for part in _fields(model, field.content, field.end):
            name = bytes(model[part.content : part.end])
            weight = part.number == _NODE_INPUT and name in nameless
            readers[name] += weight
            if weight and readers[name] > 1:
                copy = b"%s, copy %d" % (name, readers[name])
                yield bytes_field(_GRAPH_INITIALIZER, nameless[name] + bytes_field(_TENSOR_NAME, copy))
                node.append(bytes_field(_NODE_INPUT, copy))
            else:
                node.append(bytes(model[part.start : part.end]))
        yield bytes_field(_GRAPH_NODE, b"".join(node))


def _graph(model: memoryview, graph: _Field, location: str) -> Iterator[bytes]:
    for field in _fields(model, graph.content, graph.end):
        if field.number == _GRAPH_INITIALIZER and field.wire_type == _BYTES:
            yield bytes_field(_GRAPH_INITIALIZER, b"".join(_tensor(model, field, location)))
        else:
            yield bytes(model[field.start : field.end])


def _tensor(model: memoryview, tensor: _Field, location: str) -> Iterator[bytes]:
    for field in _fields(model, tensor.content, tensor.end):
        length = field.end - field.content
        if field.number == _TENSOR_RAW_DATA and length >= MAPPED_FROM_BYTES:
            for key, value in (("location", location), ("offset", str(field.content)), ("length", str(length))):
                entry = bytes_field(1, key) + bytes_field(2, value)
                yield bytes_field(_TENSOR_EXTERNAL_DATA, entry)
            yield varint_field(_TENSOR_DATA_LOCATION, 1)
        else:
            yield bytes(model[field.start : field.end])


def _refuse_external_data(model: memoryview, kind: str, start: int, end: int, location: str) -> None:
    """Looks at every tensor of the model, also those in attributes, subgraphs and functions."""
    for field in _fields(model, start, end):
        if kind == "tensor" and field.number in (_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION):
            raise ArtifactError(
                f"{location} keeps weights in other files; an artifact's model is one file, export it again"
            )
        nested = _NESTED.get(kind, {}).get(field.number)
        if nested is not None and field.wire_type == _BYTES:
            _refuse_external_data(model, nested, field.content, field.end, location)


def _check_domains(model: memoryview, location: str) -> None:
    """Refuses operators of other domains: a model declares every domain that its nodes use."""
    for opset in _fields(model, 0, len(model)):
        if opset.number != _MODEL_OPSET:
            continue
        for field in _fields(model, opset.content, opset.end):
            domain = bytes(model[field.content : field.end]).decode() if field.number == _OPSET_DOMAIN else ""
            if domain not in ALLOWED_DOMAINS:
                allowed = ", ".join(sorted(ALLOWED_DOMAINS - {""}))
                raise ArtifactError(f"{location} uses operators of the domain {domain!r}; allowed are: {allowed}")


def _fields(data: memoryview, start: int, end: int) -> Iterator[_Field]:
    """Walks the fields of one message without touching their content."""
    position = start
    while position < end:
        key, content = _read_varint(data, position)
        if key >= MAX_KEY:  # onnxruntime drops the upper bits, and sees a field that nobody looked at
            raise ValueError("a key of more than 32 bits")
        number, wire_type = key >> 3, key & 7
        if wire_type == _BYTES:
            length, content = _read_varint(data, content)
            after = content + length
        elif wire_type == _VARINT:
            _, after = _read_varint(data, content)
        elif wire_type in (_FIXED32, _FIXED64):
            after = content + (4 if wire_type == _FIXED32 else 8)
        else:
            raise ValueError(f"wire type {wire_type}")
        if after > end:
            raise ValueError("a field ends behind its message")
        yield _Field(number, wire_type, position, content, after)
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
    """Writes a field that holds bytes, a string or a message."""
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def varint_field(field: int, value: int) -> bytes:
    """Writes a field that holds a whole number of 0 or more."""
    return _varint(field << 3 | _VARINT) + _varint(value)
