"""Reads an ONNX file without the onnx package, so that onnxruntime maps the weights instead of copying them.

onnxruntime parses a self-contained file completely and then copies every weight: MiniLM in fp32 (91 MB) peaks at 197 MB
and takes 130 ms. Weights in a *separate* file are mapped and read on demand: 144 MB with a 512-token text, 104 MB with
a short one, 49 ms. So `strip_weights` copies the model without its large weights and replaces each with a reference
into the file that it came from. The artifact keeps one plain file that every tool can read.

The field numbers are those of onnx.proto, such as ModelProto.graph 7 and opset_import 8, OperatorSetIdProto.domain 1,
GraphProto.node 1 and initializer 5, NodeProto.input 1, TensorProto.name 8, raw_data 9, external_data 13 and
data_location 14.
"""

import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import ArtifactError
from .protobuf import BYTES, Field, bytes_field, fields, varint_field

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
MAPPED_FROM_BYTES = 4096

_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_OPSET_DOMAIN = 1
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT = 1
# Where tensors can be: message type -> field number -> message type of that field.
_NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse_tensor", 23: "sparse_tensor"},
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}
_TENSOR_NAME, _TENSOR_RAW_DATA, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 9, 13, 14


def load_without_weights(path: Path) -> bytes:
    """Returns the model of an ONNX file, with references in the place of large weights; errors as `strip_weights`."""
    with path.open("rb") as file:
        if not path.stat().st_size:  # an empty file cannot be mapped
            return strip_weights(memoryview(b""), path.name)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as model:
            return strip_weights(model, path.name)


def strip_weights(model: memoryview, location: str) -> bytes:
    """Copies an ONNX model and replaces each large weight with a reference into the file that it came from.

    Args:
        model: The bytes of a self-contained ONNX file, memory-mapped.
        location: Name of the file, relative to the folder that onnxruntime searches.

    Returns:
        A serialized ModelProto of about 100 KB.

    Raises:
        ArtifactError: The bytes are not a ModelProto, or the model uses other files or unknown operator domains.
    """
    try:
        if all(field.number != _MODEL_GRAPH for field in fields(model, 0, len(model))):
            raise ValueError("no graph")
        _check_domains(model, location)
        _refuse_external_data(model, "model", 0, len(model), location)
        return _with_graph(model, lambda graph: _graph(model, graph, location))
    except (IndexError, ValueError, RecursionError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{location} is not an ONNX model; export it again") from error


def unshare_initializers(small: bytes) -> bytes:
    """Gives every node of a stripped model its own initializers; this copies no weights, only references."""
    model = memoryview(small)
    return _with_graph(model, lambda graph: _separated(model, graph))


def _with_graph(model: memoryview, rewrite: Callable[[Field], Iterator[bytes]]) -> bytes:
    """Copies a model and replaces its graph."""
    parts = []
    for field in fields(model, 0, len(model)):
        if field.number == _MODEL_GRAPH and field.wire_type == BYTES:
            parts.append(bytes_field(_MODEL_GRAPH, b"".join(rewrite(field))))
        else:
            parts.append(bytes(model[field.start : field.end]))
    return b"".join(parts)


def _separated(model: memoryview, graph: Field) -> Iterator[bytes]:
    """Yields the fields of the graph: the first reader of an initializer keeps it, each other one gets a copy."""
    graph_fields = list(fields(model, graph.content, graph.end))
    nameless: dict[bytes, bytes] = {}  # the content of each initializer without its name
    for tensor in graph_fields:
        if tensor.number == _GRAPH_INITIALIZER:
            parts = list(fields(model, tensor.content, tensor.end))
            (name,) = (bytes(model[part.content : part.end]) for part in parts if part.number == _TENSOR_NAME)
            nameless[name] = b"".join(bytes(model[p.start : p.end]) for p in parts if p.number != _TENSOR_NAME)
    readers: Counter[bytes] = Counter()
    for field in graph_fields:
        if field.number != _GRAPH_NODE:
            yield bytes(model[field.start : field.end])
            continue
        node = []
        for part in fields(model, field.content, field.end):
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


def _graph(model: memoryview, graph: Field, location: str) -> Iterator[bytes]:
    for field in fields(model, graph.content, graph.end):
        if field.number == _GRAPH_INITIALIZER and field.wire_type == BYTES:
            yield bytes_field(_GRAPH_INITIALIZER, b"".join(_tensor(model, field, location)))
        else:
            yield bytes(model[field.start : field.end])


def _tensor(model: memoryview, tensor: Field, location: str) -> Iterator[bytes]:
    for field in fields(model, tensor.content, tensor.end):
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
    for field in fields(model, start, end):
        if kind == "tensor" and field.number in (_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION):
            raise ArtifactError(
                f"{location} keeps weights in other files; an artifact's model is one file, export it again"
            )
        nested = _NESTED.get(kind, {}).get(field.number)
        if nested is not None and field.wire_type == BYTES:
            _refuse_external_data(model, nested, field.content, field.end, location)


def _check_domains(model: memoryview, location: str) -> None:
    """Refuses operators of other domains: a model declares every domain that its nodes use."""
    for opset in fields(model, 0, len(model)):
        if opset.number != _MODEL_OPSET:
            continue
        for field in fields(model, opset.content, opset.end):
            domain = bytes(model[field.content : field.end]).decode() if field.number == _OPSET_DOMAIN else ""
            if domain not in ALLOWED_DOMAINS:
                allowed = ", ".join(sorted(ALLOWED_DOMAINS - {""}))
                raise ArtifactError(f"{location} uses operators of the domain {domain!r}; allowed are: {allowed}")
