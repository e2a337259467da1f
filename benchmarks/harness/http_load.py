"""The load generator: sends HTTP requests from a process of its own and times their responses.

- `closed`: each connection sends its next request when it has the response to the last one.
- `open`: requests leave at a constant rate whatever the responses do, and each is timed from when it was due. A service
  that stalls therefore cannot hide the requests that would have come meanwhile (coordinated omission).

`python -m benchmarks.harness.http_load` reads a `Job` as JSON and prints its `Responses` as JSON.
"""

import asyncio
import collections
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Literal

WARM_UP = 20


@dataclass(frozen=True)
class Job:
    """What to send.

    Attributes:
        port: Port of the service on this machine.
        path: Path of the requests.
        bodies: Bodies, sent in turn.
        mode: `closed` or `open`.
        connections: Number of connections; with `open` the number to begin with.
        requests: Number of requests.
        rate: Requests per second, for `open`.
    """

    port: int
    path: str
    bodies: list[str]
    mode: Literal["closed", "open"]
    requests: int
    connections: int = 1
    rate: float = 0


@dataclass
class Responses:
    """What came back.

    Attributes:
        latencies_ms: Of each response, by status.
        seconds: From the first request to the last response.
        failures: Connections that ended without a response.
    """

    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0
    failures: int = 0


class Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Completes the request when the response is whole."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator or self._waiting is None or self._waiting.done():
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(rest) >= int(length or 0):
            self._buffer = b""
            self._waiting.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, _: Exception | None) -> None:
        """Fails the request."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError())

    def close(self) -> None:
        """Closes the connection."""
        assert self._transport is not None
        self._transport.close()

    async def ask(self, request: bytes) -> int:
        """Sends a request and returns the status of its response."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting


class Load:
    """Sends the requests of a job and notes the responses."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._requests = [_request(job.path, body.encode()) for body in job.bodies]
        self._opened: list[Connection] = []
        self._idle: list[Connection] = []
        self._latencies_ms: dict[int, list[float]] = collections.defaultdict(list)
        self._failures = 0

    async def run(self) -> Responses:
        """Sends them all and closes the connections."""
        for _ in range(self._job.connections):
            await self._open()
        start = time.perf_counter()
        await (self._closed() if self._job.mode == "closed" else self._constant_rate(start))
        seconds = time.perf_counter() - start
        for connection in self._opened:
            connection.close()
        latencies_ms = {str(status): rows for status, rows in self._latencies_ms.items()}
        return Responses(latencies_ms, seconds, self._failures)

    async def _closed(self) -> None:
        async def keep_asking(connection: Connection) -> None:
            for number in range(self._job.requests // self._job.connections):
                if not await self._ask(connection, number, time.perf_counter()):
                    return

        await asyncio.gather(*[keep_asking(connection) for connection in self._opened])

    async def _constant_rate(self, start: float) -> None:
        async def ask(connection: Connection, number: int, due: float) -> None:
            if await self._ask(connection, number, due):
                self._idle.append(connection)

        tasks = []
        for number in range(self._job.requests):
            due = start + number / self._job.rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if not self._idle:
                await self._open()
            tasks.append(asyncio.create_task(ask(self._idle.pop(), number, due)))
        await asyncio.gather(*tasks)

    async def _ask(self, connection: Connection, number: int, due: float) -> bool:
        """Sends a request; returns whether the connection can be used again."""
        try:
            status = await connection.ask(self._requests[number % len(self._requests)])
        except ConnectionError:
            self._failures += 1
            return False
        self._latencies_ms[status].append(1000 * (time.perf_counter() - due))
        return True

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._job.port)
        self._opened.append(connection)
        self._idle.append(connection)


async def run(job: Job) -> Responses:
    """Sends the requests of a job."""
    return await Load(job).run()


def main() -> None:
    """Reads the job, waits for the service and sends the requests."""
    job = Job(**json.load(sys.stdin))
    if job.mode == "closed":
        asyncio.run(run(Job(job.port, job.path, job.bodies, "closed", WARM_UP * job.connections, job.connections)))
    print(json.dumps(asdict(asyncio.run(run(job)))))


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


if __name__ == "__main__":
    main()
