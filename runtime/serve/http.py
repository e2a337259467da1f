"""Reads requests and writes responses; the hot path, so plain ASGI."""

import math
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from ..decision.prediction import Prediction
from ..scheduling.call import Timing
from .errors import HttpError, body_error

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
Body = TypeVar("Body")

JSON = b"application/json"
ACCEPTED_TYPES = (b"", JSON, b"application/octet-stream")
NOTHING = Timing(0, 0, 0, 0)
NUMBER = re.compile(rb"\d{1,15}")
encode = msgspec.json.Encoder().encode


@dataclass
class Exchange:
    """What the log and the metrics tell about a request; the routes fill it in.

    Attributes:
        request_id: Id of the request, the client's or a new one.
        route: The route's name, never the path, which a client could fill with anything.
        texts: Number of texts.
        predictions: What the model made of them; empty if the request failed.
        timing: Where the time went.
        started: Time of `time.perf_counter` at which the request began.
        headers: Further headers of the response.
    """

    request_id: str
    route: str = "unknown"
    texts: int = 0
    predictions: Sequence[Prediction] = ()
    timing: Timing = NOTHING
    started: float = field(default_factory=time.perf_counter)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def header(scope: Scope, name: bytes) -> bytes:
    """Returns the value of a header; empty if there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """Reads the body of a request.

    Raises:
        HttpError: It is larger than allowed, compressed, of another type than JSON, or incomplete.
    """
    media_type = header(scope, b"content-type").partition(b";")[0].strip().lower()
    if media_type not in ACCEPTED_TYPES:
        raise HttpError(415, "Validation", "expected the content type application/json", closes=True)
    if header(scope, b"content-encoding").lower() not in (b"", b"identity"):
        raise HttpError(415, "Validation", "compressed bodies are not accepted; send JSON as it is", closes=True)
    too_large = HttpError(
        413, "Validation", f"the body is larger than {max_bytes} bytes; send fewer texts", closes=True
    )
    length = header(scope, b"content-length")
    if NUMBER.fullmatch(length) and int(length) > max_bytes:
        raise too_large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise HttpError(400, "Validation", "the body is incomplete", closes=True)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(parts) if len(parts) > 1 else bytes(parts[0])


class JsonDecoder(Generic[Body]):
    """Decodes and checks the JSON bodies of one type."""

    def __init__(self, kind: type[Body]) -> None:
        """Takes the type, a `msgspec.Struct`."""
        self._decode = msgspec.json.Decoder(kind).decode
        self._fields = tuple(kind.__struct_fields__)  # type: ignore[attr-defined]

    def __call__(self, content: bytes) -> Body:
        """Decodes a body.

        Raises:
            HttpError: It is not JSON, or not of this type.
        """
        try:
            return self._decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise body_error(error, self._fields) from None


async def send_bytes(send: Send, status: int, content: bytes, media_type: bytes, headers: Headers = ()) -> None:
    """Sends a response."""
    start = [(b"content-type", media_type), (b"content-length", b"%d" % len(content)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def send_json(send: Send, status: int, value: object, headers: Headers = ()) -> None:
    """Sends a response in JSON."""
    await send_bytes(send, status, encode(value), JSON, headers)


async def send_error(send: Send, error: HttpError, headers: Headers = ()) -> None:
    """Sends an error as JSON."""
    extra: list[tuple[bytes, bytes]] = []
    if error.retry_after_s is not None:
        extra.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if error.closes:
        extra.append((b"connection", b"close"))
    await send_json(send, error.status, {"error": error.message, "error_type": error.kind}, [*headers, *extra])
