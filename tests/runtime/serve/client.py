"""A server process, and a client that shows every byte of a response."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parents[3]
JSON = {"Content-Type": "application/json"}


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Server:
    """`python -m runtime.serve` in a process of its own, on a free port."""

    def __init__(self, artifact: Path, *options: str) -> None:
        """Starts the process and waits until it takes requests."""
        line = [sys.executable, "-m", "runtime.serve", "--model", str(artifact), "--port", "0", "--threads", "1"]
        self.process = subprocess.Popen([*line, *options], cwd=ROOT, stderr=subprocess.PIPE)
        self._raw: list[bytes] = []
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._started.wait(30), self.text
        host, _, port = self.event("started")["address"].rpartition(":")
        self.host, self.port = host, int(port)

    @property
    def text(self) -> str:
        """What it wrote to standard error."""
        return b"".join(self._raw).decode()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.text.splitlines()]

    def event(self, name: str, request_id: str | None = None, timeout_s: float = 10) -> dict[str, Any]:
        """Waits for an event in the log and returns the last of that name, or that of a request."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for line in reversed(self.log):
                if line["event"] == name and request_id in (None, line.get("id")):
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no {name!r} in {self.text}")

    def get(self, path: str, headers: dict[str, str] | None = None) -> Response:
        """Sends a GET request."""
        return self.send("GET", path, None, headers or {})

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Response:
        """Sends a POST request; a body that is not bytes is encoded as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, content, JSON | (headers or {}))

    def send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Response:
        """Sends a request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def raw(self, *parts: bytes, pause_s: float = 0, timeout_s: float = 20) -> bytes:
        """Sends bytes as they are, and returns what comes back until the server closes or is silent."""
        with socket.create_connection((self.host, self.port), timeout=timeout_s) as connection:
            received = b""
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)
                while chunk := connection.recv(65536):
                    received += chunk
            except (TimeoutError, ConnectionError):
                pass
            return received

    def metric(self, sample: str, headers: dict[str, str] | None = None) -> float:
        """Returns the value of a sample of `/metrics`; 0 if there is none."""
        for line in self.get("/metrics", headers).body.decode().splitlines():
            if line.rpartition(" ")[0] == sample:
                return float(line.rpartition(" ")[2])
        return 0

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        """Ends the process and returns its exit status."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        status = self.process.wait(timeout_s)
        self._reader.join()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._raw.append(line)
            if b'"event":"started"' in line or b"error: " in line:
                self._started.set()
        self._started.set()
