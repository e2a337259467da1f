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

    async def ask(self, request: bytes) -> int:
        """Sends a request and returns the status of its response."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting


async def run(job: Job) -> Responses:
    """Sends the requests of a job."""
    loop = asyncio.get_running_loop()
    requests = [_request(job.path, body.encode()) for body in job.bodies]
    found: dict[int, list[float]] = collections.defaultdict(list)
    responses = Responses()
    idle = [await _connect(job.port) for _ in range(job.connections)]
    start = loop.time()

    async def ask(connection: Connection, number: int, due: float) -> None:
        try:
            status = await connection.ask(requests[number % len(requests)])
            found[status].append(1000 * (loop.time() - due))
            idle.append(connection)
        except ConnectionError:
            responses.failures += 1

    async def closed(connection: Connection, count: int) -> None:
        idle.remove(connection)
        for number in range(count):
            await ask(connection, number, loop.time())
            if connection in idle:
                idle.remove(connection)

    if job.mode == "closed":
        share = job.requests // job.connections
        await asyncio.gather(*[closed(connection, share) for connection in list(idle)])
    else:
        tasks = []
        for number in range(job.requests):
            due = start + number / job.rate
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            connection = idle.pop() if idle else await _connect(job.port)
            tasks.append(loop.create_task(ask(connection, number, due)))
        await asyncio.gather(*tasks)
    responses.seconds = loop.time() - start
    responses.latencies_ms = {str(status): latencies for status, latencies in found.items()}
    return responses


def main() -> None:
    """Reads the job, waits for the service and sends the requests."""
    job = Job(**json.load(sys.stdin))
    if job.mode == "closed":
        asyncio.run(run(Job(job.port, job.path, job.bodies, "closed", WARM_UP * job.connections, job.connections)))
    print(json.dumps(asdict(asyncio.run(run(job)))))


async def _connect(port: int) -> Connection:
    for _ in range(100):
        try:
            return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]
        except ConnectionError:
            await asyncio.sleep(0.01)
    raise ConnectionError(f"nothing listens on port {port}")


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


if __name__ == "__main__":
    main()
