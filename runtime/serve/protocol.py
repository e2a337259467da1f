"""One connection: uvicorn's protocol, with the limits that it lacks, and an end to work that nobody waits for."""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .http import encode
from .settings import Limits

MOST_HEAD_BYTES = 1 << 16
MOST_PIPELINED = 32
LINGER_S = 0.5  # before a refused connection is closed; closing it at once could destroy the response
# A client that offers HTTP/2 (h2c) accepts HTTP/1.1. The parser would take its body for data of the other protocol.
UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


class TimedProtocol(HttpToolsProtocol):
    """A connection.

    uvicorn closes an idle connection only after it has sent a response, and only if nothing arrives then. This class
    closes one on which no request begins, on which a request does not arrive completely, or whose client does not read.
    It limits what comes before a body, and cancels the response when the client has left. `with_limits` makes the class
    that uvicorn creates an object of for each connection.
    """

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _response_task: asyncio.Task[None] | None = None
    _refused = False
    _in_head = False
    _in_message = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a request."""
        super().connection_made(transport)
        self._wait(self.limits.idle_s)

    def data_received(self, data: bytes) -> None:
        """Parses data, and closes the connection if a request has too many headers."""
        if self._refused:
            return
        if not self._in_message and b"pgrade:" in data:
            head, separator, rest = data.partition(b"\r\n\r\n")
            data = UPGRADE.sub(b"", head) + separator + rest
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(431, f"expected at most {MOST_HEAD_BYTES} bytes of headers")
        elif not self._in_message and (self.cycle is None or self.cycle.response_complete):
            self._wait(self.limits.idle_s)

    def on_message_begin(self) -> None:
        """Starts to wait for the rest of a request."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._wait(self.limits.receive_s)

    def on_headers_complete(self) -> None:
        """Ends a connection that sends request upon request without reading the responses."""
        self._in_head = False
        super().on_headers_complete()
        if len(self.pipeline) > MOST_PIPELINED:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """Ends the wait."""
        self._in_message = False
        self._wait(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Starts to wait for the client to read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.receive_s, self._close)

    def resume_writing(self) -> None:
        """Ends that wait."""
        super().resume_writing()
        self._stop_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the response if it is not complete."""
        self._wait(None)
        self._stop_write_timer()
        left = self.cycle is not None and not self.cycle.response_complete
        super().connection_lost(exc)
        if left and self._response_task is not None:
            self._response_task.cancel()

    def send_400_response(self, _: str) -> None:
        """Refuses what is not HTTP; a request that came before it still gets its response."""
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False
            self.pipeline.clear()
        else:
            self._refuse(400, "the request is not valid HTTP")

    def _refuse(self, status: int, message: str) -> None:
        """Sends an error before there is a request that a route could refuse, and closes the connection."""
        content = encode({"error": message, "error_type": "Validation"})
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        self._refused = True
        self._wait(LINGER_S)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._response_task = self.loop.create_task(cycle.run_asgi(app))
        self._response_task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._response_task)

    def _wait(self, seconds: float | None) -> None:
        """Closes the connection after so many seconds, unless called again before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._close)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def with_limits(limits: Limits) -> type[TimedProtocol]:
    """Returns the class for these limits."""
    return type("TimedProtocol", (TimedProtocol,), {"limits": limits})
