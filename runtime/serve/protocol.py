"""One connection: uvicorn's protocol, with the timeouts that it lacks, and an end to work that nobody waits for."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .settings import Limits


class TimedProtocol(HttpToolsProtocol):
    """A connection.

    uvicorn closes an idle connection only after it has sent a response. This class also closes one on which no
    request begins, or on which a request does not arrive completely, and cancels the response when the client has left.
    `with_limits` makes the class that uvicorn creates an object of for each connection.
    """

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None
    _request_task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a request."""
        super().connection_made(transport)
        self._wait(self.limits.idle_s)

    def on_message_begin(self) -> None:
        """Starts to wait for the rest of a request."""
        super().on_message_begin()
        self._wait(self.limits.receive_s)

    def on_message_complete(self) -> None:
        """Ends the wait."""
        self._wait(None)
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the response if it is not complete."""
        self._wait(None)
        left = self.cycle is not None and not self.cycle.response_complete
        super().connection_lost(exc)
        if left and self._request_task is not None:
            self._request_task.cancel()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._request_task = self.loop.create_task(cycle.run_asgi(app))
        self._request_task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._request_task)

    def _wait(self, seconds: float | None) -> None:
        """Closes the connection after so many seconds, unless called again before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._close)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def with_limits(limits: Limits) -> type[TimedProtocol]:
    """Returns the class for these limits."""
    return type("TimedProtocol", (TimedProtocol,), {"limits": limits})
