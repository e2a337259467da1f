"""The Open Inference Protocol, version 2, with its binary tensor data extension; KServe and Triton clients speak it.

Specification: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`, and
triton-inference-server/server, `docs/protocol/extension_binary_data.md`.
"""

import re
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ...version import __version__
from ..errors import HttpError
from ..gate import Gate
from ..http import JSON, NUMBER, JsonDecoder, Receive, Scope, Send, encode, header, read_body, send_bytes, send_json
from ..service import Classified, Service

INPUT = "text"
BINARY = b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"
PRINTABLE_ID = re.compile(r"[\x20-\x7e]{0,128}")
VERSION = "1"


class InputTensor(msgspec.Struct):
    """A tensor of the request: its texts in `data`, or as bytes after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str | list[str]] | None = None
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] = {}


class InferBody(msgspec.Struct):
    """The JSON part of `POST /v2/models/NAME/infer`."""

    inputs: list[InputTensor]
    id: str = ""
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] = {}


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """A tensor of the response."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, int] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The JSON part of the response."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


decode = JsonDecoder(InferBody)


class OipRoutes:
    """Handles the routes under `/v2`."""

    def __init__(self, service: Service, gate: Gate) -> None:
        """Takes what the routes share."""
        self._service = service
        self._gate = gate

    async def server(self, scope: Scope, send: Send) -> None:
        """`GET /v2`: server metadata."""
        scope["exchange"].route = "/v2"
        await send_json(send, 200, {"name": "litmus", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(self, scope: Scope, send: Send) -> None:
        """`GET /v2/health/live`."""
        scope["exchange"].route = "/v2/health/live"
        await send_json(send, 200, {"live": True})

    async def ready(self, scope: Scope, send: Send) -> None:
        """`GET /v2/health/ready`; KServe's client reads `ready`, others `live`."""
        scope["exchange"].route = "/v2/health/ready"
        is_ready = not self._gate.draining
        await send_json(send, 200 if is_ready else 503, {"ready": is_ready, "live": is_ready})

    async def models(self, scope: Scope, send: Send) -> None:
        """`GET /v2/models`, KServe's addition."""
        scope["exchange"].route = "/v2/models"
        await send_json(send, 200, {"models": [self._service.name]})

    async def model(self, scope: Scope, send: Send) -> None:
        """`GET /v2/models/NAME`: model metadata."""
        scope["exchange"].route = "/v2/models/NAME"
        self._check_name(scope)
        count = len(self._service.slot.model.classifier.labels)
        response = {
            "name": self._service.name,
            "versions": [VERSION],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": "scores", "datatype": "FP32", "shape": [-1, count]},
                {"name": "assigned", "datatype": "BOOL", "shape": [-1, count]},
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "truncated", "datatype": "BOOL", "shape": [-1]},
            ],
        }
        await send_json(send, 200, response)

    async def model_ready(self, scope: Scope, send: Send) -> None:
        """`GET /v2/models/NAME/ready`."""
        scope["exchange"].route = "/v2/models/NAME/ready"
        self._check_name(scope)
        is_ready = not self._gate.draining
        await send_json(send, 200 if is_ready else 503, {"name": self._service.name, "ready": is_ready})

    async def infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v2/models/NAME/infer`."""
        scope["exchange"].route = "/v2/models/NAME/infer"
        self._check_name(scope)
        content = await read_body(scope, receive, self._service.limits.max_body_bytes)
        content, binary = _split(content, header(scope, HEADER_LENGTH))
        body = decode(content)
        if not PRINTABLE_ID.fullmatch(body.id):
            raise HttpError(422, "Validation", "id: expected at most 128 printable ASCII characters")
        texts = _texts(body, binary)
        names = list(_tensors_of) if body.outputs is None else [output.name for output in body.outputs]
        for name in names:
            if name not in _tensors_of:
                raise HttpError(422, "Validation", f"unknown output, expected some of {', '.join(_tensors_of)}")
        classified = await self._service.classify(scope, texts)
        everything = bool(body.parameters.get("binary_data_output", False))
        wanted = {output.name: output.parameters for output in body.outputs or []}
        tensors, parts = [], []
        for name in dict.fromkeys(names):
            tensor, part = _tensors_of[name](name, classified)
            if wanted.get(name, {}).get("binary_data", everything):
                tensor.data, tensor.parameters = None, {"binary_data_size": len(part)}
                parts.append(part)
            tensors.append(tensor)
        start = encode(InferResponse(self._service.name, VERSION, tensors, body.id))
        if not parts:
            await send_bytes(send, 200, start, JSON)
        else:
            headers = [(HEADER_LENGTH, b"%d" % len(start))]
            await send_bytes(send, 200, b"".join([start, *parts]), BINARY, headers)

    def _check_name(self, scope: Scope) -> None:
        parameters = scope["path_params"]
        if parameters["name"] != self._service.name or parameters.get("version", VERSION) != VERSION:
            raise HttpError(404, "Validation", f"there is no such model; this service has {self._service.name}")


def _split(content: bytes, header_length: bytes) -> tuple[bytes, bytes]:
    """Splits a body into its JSON and the bytes after it."""
    if not header_length:
        return content, b""
    if not NUMBER.fullmatch(header_length) or int(header_length) > len(content):
        raise HttpError(400, "Validation", "Inference-Header-Content-Length: expected the length of the JSON part")
    return content[: int(header_length)], content[int(header_length) :]


def _texts(body: InferBody, binary: bytes) -> list[str]:
    """Returns the texts of the one input."""
    if len(body.inputs) != 1 or body.inputs[0].name != INPUT or body.inputs[0].datatype != "BYTES":
        raise HttpError(422, "Validation", f"expected one input, named {INPUT}, of datatype BYTES")
    tensor = body.inputs[0]
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
        raise HttpError(422, "Validation", f"{INPUT}: expected the shape [n] or [n, 1]")
    if tensor.data is not None:
        texts = [text for item in tensor.data for text in ([item] if isinstance(item, str) else item)]
    else:
        size = tensor.parameters.get("binary_data_size")
        if size != len(binary):
            raise HttpError(422, "Validation", f"{INPUT}: expected data, or binary_data_size and as many bytes")
        texts = _decoded(binary)
    if tensor.shape[0] != len(texts):
        raise HttpError(422, "Validation", f"{INPUT}: its shape and its number of texts, {len(texts)}, do not agree")
    return texts


def _decoded(binary: bytes) -> list[str]:
    """Decodes texts, each in UTF-8 after its length as a little-endian uint32."""
    texts, at = [], 0
    try:
        while at < len(binary):
            (length,) = struct.unpack_from("<I", binary, at)
            at += 4 + length
            if at > len(binary):
                raise ValueError
            texts.append(binary[at - length : at].decode())
    except (struct.error, ValueError):
        raise HttpError(400, "Validation", f"{INPUT}: expected UTF-8 texts, each after its length") from None
    return texts


def _scores(name: str, classified: Classified) -> tuple[OutputTensor, bytes]:
    labels = classified.model.classifier.labels
    rows = np.array([[item.scores[label] for label in labels] for item in classified.predictions], np.float32)
    return OutputTensor(name, "FP32", list(rows.shape), rows.ravel().tolist()), rows.astype("<f4").tobytes()


def _assigned(name: str, classified: Classified) -> tuple[OutputTensor, bytes]:
    labels = classified.model.classifier.labels
    rows = np.array([[label in item.labels for label in labels] for item in classified.predictions])
    return OutputTensor(name, "BOOL", list(rows.shape), rows.ravel().tolist()), rows.tobytes()


def _label(name: str, classified: Classified) -> tuple[OutputTensor, bytes]:
    """Returns the best assigned label of each text; an empty string if there is none."""
    values = [item.label or "" for item in classified.predictions]
    encoded = [value.encode() for value in values]
    binary = b"".join(struct.pack("<I", len(value)) + value for value in encoded)
    return OutputTensor(name, "BYTES", [len(values)], list(values)), binary


def _truncated(name: str, classified: Classified) -> tuple[OutputTensor, bytes]:
    values: Sequence[bool] = [item.truncated for item in classified.predictions]
    return OutputTensor(name, "BOOL", [len(values)], list(values)), bytes(values)


_tensors_of = {"scores": _scores, "assigned": _assigned, "label": _label, "truncated": _truncated}
