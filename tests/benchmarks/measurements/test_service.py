"""`service`: the load generator, and the report on a small model."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.harness import http_load
from benchmarks.harness.http_load import Job, Responses

STALL_S = 0.3


def load_stub(job: Job, stall: int) -> Responses:
    """Sends the requests of a job to a server that stalls once, sends 429 to every fifth, and closes on `close`."""

    async def body() -> Responses:
        seen = 0
        free = asyncio.Event()
        free.set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal seen
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):  # the client is done
                    break
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                content = await reader.readexactly(length)
                seen += 1
                number = seen
                if number == stall:
                    free.clear()
                    await asyncio.sleep(STALL_S)
                    free.set()
                await free.wait()
                if content == b"close":
                    break
                status = b"429 Too Many Requests" if number % 5 == 0 else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{")
                await writer.drain()
                writer.write(b"}")  # a response may come in parts
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found = await http_load.run(Job(port, *(getattr(job, name) for name in FIELDS)))
            await asyncio.sleep(0.05)  # the stub notices that its clients have gone
            return found

    return asyncio.run(body())


FIELDS = ("path", "bodies", "mode", "requests", "connections", "rate")


def test_open_load_counts_from_when_a_request_was_due() -> None:
    """While the service stalls, the requests that were due keep coming, and their waiting is measured."""
    started = time.perf_counter()
    found = load_stub(Job(0, "/", ["{}"], "open", 100, 1, rate=200), stall=20)
    elapsed_s = time.perf_counter() - started
    latencies = sorted(latency for rows in found.latencies_ms.values() for latency in rows)
    assert len(latencies) == 100
    assert 0.49 <= found.seconds <= elapsed_s  # the last was due after 99 intervals
    waited = [latency for latency in latencies if latency > 50]
    assert len(waited) >= 35  # 300 ms at 200 requests per second, but for the last 50 ms
    assert max(latencies) >= 1000 * STALL_S


def test_closed_load_counts_by_status() -> None:
    """Every connection sends its share, and the responses are counted by status."""
    found = load_stub(Job(0, "/", ["{}"], "closed", 50, 5), stall=0)
    assert {status: len(rows) for status, rows in found.latencies_ms.items()} == {"200": 40, "429": 10}
    assert found.failures == 0


def test_broken_connections_are_counted() -> None:
    """A connection that ends without a response is a failure, not a latency."""
    found = load_stub(Job(0, "/", ["{}", "close"], "open", 10, 1, rate=100), stall=0)
    assert found.failures == 5
    assert sum(map(len, found.latencies_ms.values())) == 5


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="service and load generator need a CPU each")
def test_report(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has the cost of each service, the throughput and the overload, and the table shows them."""
    checkpoint, artifact = trained
    line = ["service", "--model", artifact, "--checkpoint", checkpoint, "--services", "litmus", "echo"]
    assert main([*line, "--rounds", "1", "--seconds", "2", "--output", str(tmp_path / "service.json")]) == 0
    report = json.loads((tmp_path / "service.json").read_text())
    cost, overload = report["cost"], report["overload"]
    assert [*cost] == ["predict", "litmus", "echo"]
    assert cost["litmus"]["cost_ms"] == pytest.approx(cost["litmus"]["p50_ms"] - cost["predict"]["p50_ms"])
    assert 0 < cost["echo"]["p50_ms"] < cost["litmus"]["p50_ms"]
    assert report["throughput"]["share"] > 0.2
    assert overload["accepted"] > 0
    assert (overload["errors"], overload["failures"]) == (0, 0)
    table = capsys.readouterr().out
    assert f"| litmus | {cost['litmus']['p50_ms']:.2f} |" in table
    assert f"{overload['accepted']} accepted" in table
