"""The end of the service, the replacement of its model, and several workers."""

import http.client
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.artifact.folder import read_artifact

from .client import JSON, Server


class Load:
    """Clients that send requests one after the other on connections that they keep, until stopped."""

    def __init__(self, server: Server, clients: int, body: object) -> None:
        """Starts the clients."""
        self._server = server
        self._body = json.dumps(body).encode()
        self._stop = threading.Event()
        self.responses: list[tuple[int, bytes]] = []
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stops the clients and waits for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._server.host, self._server.port, timeout=30)
        while not self._stop.is_set():
            try:
                connection.connect()
            except ConnectionError:
                return  # it takes no connections any more
            try:
                while not self._stop.is_set():
                    connection.request("POST", "/predict", self._body, JSON)
                    response = connection.getresponse()
                    self.responses.append((response.status, response.read()))
                    if response.status == 503:
                        return
                    if response.will_close:
                        break
            except (ConnectionError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return
            finally:
                connection.close()


@pytest.mark.parametrize("number", range(5))
def test_sigterm_under_load(int8_artifact: Path, number: int) -> None:
    """SIGTERM lets every accepted request end, refuses new ones with 503, and the process exits with 0."""
    with Server(int8_artifact, "--drain-seconds", "10", "--max-wait-ms", "30000") as server:
        load = Load(server, 6, {"texts": ["late " * 20] * 8})
        time.sleep(0.2 + 0.03 * number)
        assert server.stop() == 0
        load.end()
        assert load.lost == []
        assert {status for status, _ in load.responses} <= {200, 503}
        assert [status for status, _ in load.responses].count(200) > 5
        assert server.event("stopped")


def test_health_while_draining(int8_artifact: Path) -> None:
    """During the shutdown the service is live but not ready, refuses requests, and completes the running one."""
    with Server(int8_artifact, "--drain-seconds", "10") as server:
        kept = [http.client.HTTPConnection(server.host, server.port, timeout=20) for _ in range(4)]
        for connection in kept:
            connection.request("GET", "/health")
            connection.getresponse().read()
        running = http.client.HTTPConnection(server.host, server.port, timeout=20)
        running.request("POST", "/predict", json.dumps({"texts": ["late " * 100] * 200}).encode(), JSON)
        time.sleep(0.05)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.05)
        found = []
        for connection, (method, path) in zip(
            kept,
            (("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/v2/health/ready"), ("POST", "/predict")),
            strict=True,
        ):
            connection.request(method, path, b"{}" if method == "POST" else None, JSON)
            response = connection.getresponse()
            found.append((response.status, response.getheader("connection")))
        assert found == [(200, "close"), (503, "close"), (503, "close"), (503, "close")]
        response = running.getresponse()
        assert response.status == 200
        assert len(json.loads(response.read())) == 200
        assert server.stop() == 0
        for connection in (*kept, running):
            connection.close()


def test_drain_is_bounded(int8_artifact: Path) -> None:
    """What is not complete after `--drain-seconds` gets 503, and the process exits."""
    with Server(int8_artifact, "--drain-seconds", "0.5") as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
        connection.request("POST", "/predict", json.dumps({"text": "late " * 390_000, "windows": True}).encode(), JSON)
        time.sleep(0.3)
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 5
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["error_type"]) == (503, "Unhealthy")
        connection.close()


def test_second_signal_ends_at_once(int8_artifact: Path) -> None:
    """A second SIGTERM does not wait for the requests."""
    with Server(int8_artifact, "--drain-seconds", "60") as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
        connection.request("POST", "/predict", json.dumps({"texts": ["late " * 400] * 256}).encode(), JSON)
        time.sleep(0.1)
        start = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.2)
        server.stop()
        connection.close()
        assert time.monotonic() - start < 2


@pytest.fixture
def replaceable(int8_artifact: Path, artifact: Path, tmp_path: Path) -> Callable[[Path], None]:
    """A function that lets the link `tmp_path / "current"` lead to a folder, by one rename."""

    def lead(folder: Path) -> None:
        link = tmp_path / "next"
        link.symlink_to(folder)
        link.replace(tmp_path / "current")

    lead(int8_artifact)
    return lead


def test_replacement_under_load(
    replaceable: Callable[[Path], None], int8_artifact: Path, artifact: Path, tmp_path: Path
) -> None:
    """While the artifact is replaced again and again every request is handled, by one whole artifact."""
    with Server(tmp_path / "current", "--name", "notes") as server:
        body = {"texts": ["late " * 20, "train"]}
        load = Load(server, 3, body)
        responses = set()
        for number in range(10):
            replaceable((artifact, int8_artifact)[number % 2])
            os.kill(server.process.pid, signal.SIGHUP)
            expected = (artifact, int8_artifact)[number % 2]
            digest = read_artifact(expected).sha256
            for _ in range(400):
                if server.get("/").json["model_sha256"] == digest:
                    break
                time.sleep(0.02)
            else:
                pytest.fail(server.text[-2000:])
            responses.add(server.post("/predict", body).body)
        load.end()
        assert load.lost == []
        assert {status for status, _ in load.responses} == {200}
        assert len(responses) == 2  # fp32 and int8 differ in the last digits
        assert {content for _, content in load.responses} <= responses
        assert server.metric('litmus_model_replacements_total{result="replaced"}') == 10


def test_damaged_replacement_is_not_used(
    replaceable: Callable[[Path], None], int8_artifact: Path, tmp_path: Path
) -> None:
    """An artifact that cannot be loaded leaves the old one in place, with the reason in the log."""
    damaged = Path(shutil.copytree(int8_artifact, tmp_path / "damaged"))
    (damaged / "tokenizer.json").write_text("{}")
    with Server(tmp_path / "current") as server:
        before = server.get("/").json["model_sha256"]
        manifest = json.loads((damaged / "litmus.json").read_text())
        manifest["labels"][0] = "changed"
        (damaged / "litmus.json").write_text(json.dumps(manifest))
        replaceable(damaged)
        os.kill(server.process.pid, signal.SIGHUP)
        assert "changed" in server.event("model kept")["error"]
        assert server.get("/").json["model_sha256"] == before
        assert server.post("/predict", {"text": "late"}).status == 200
        assert server.metric('litmus_model_replacements_total{result="failed"}') == 1


def test_watch(replaceable: Callable[[Path], None], artifact: Path, tmp_path: Path) -> None:
    """With `--watch` a replaced artifact is noticed without a signal."""
    with Server(tmp_path / "current", "--watch") as server:
        before = server.get("/").json["model_sha256"]
        replaceable(artifact)
        assert server.event("model replaced")["sha256"] != before
        assert server.get("/").json["model_sha256"] != before


def test_worker_that_cannot_be_replaced(int8_copy: Path) -> None:
    """If a dead worker cannot be replaced, the others go on, and SIGTERM ends them in the pause as well."""
    with Server(int8_copy, "--workers", "2") as server:
        while server.text.count('"event":"started"') < 2:
            time.sleep(0.05)
        (int8_copy / "litmus.json").write_text("{}")
        child = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()[-1]
        os.kill(int(child), signal.SIGKILL)
        server.event("worker died")
        for _ in range(600):
            if server.text.count('"worker died"') >= 2:
                break
            time.sleep(0.05)
        assert server.post("/predict", {"text": "late"}).status == 200
        assert server.stop() == 0


def test_workers_end_with_their_parent(int8_artifact: Path) -> None:
    """If the process that started the workers is killed, they end as well and free the port."""
    with Server(int8_artifact, "--workers", "2") as server:
        while server.text.count('"event":"started"') < 2:
            time.sleep(0.05)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        server.process.kill()
        server.process.wait()
        for _ in range(200):
            if not any(Path(f"/proc/{pid}").exists() for pid in children):
                break
            time.sleep(0.05)
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_watch_tries_a_damaged_artifact_once(
    replaceable: Callable[[Path], None], int8_artifact: Path, artifact: Path, tmp_path: Path
) -> None:
    """With `--watch` a damaged artifact is noted once, not every two seconds, and a good one after it is used."""
    damaged = Path(shutil.copytree(artifact, tmp_path / "damaged"))
    (damaged / "tokenizer.json").write_text("{}")
    with Server(tmp_path / "current", "--watch") as server:
        replaceable(damaged)
        server.event("model kept")
        time.sleep(4.5)
        assert server.text.count('"model kept"') == 1
        replaceable(artifact)
        server.event("model replaced")


def test_workers(int8_artifact: Path) -> None:
    """Several processes response behind one port and share the metrics; one that dies is replaced."""
    with Server(int8_artifact, "--workers", "2", "--name", "notes") as server:
        while server.text.count('"event":"started"') < 2:
            time.sleep(0.05)
        bodies = {server.post("/predict", {"text": "late"}).body for _ in range(20)}
        assert len(bodies) == 1
        assert server.metric("litmus_texts_total") == 20
        (child,) = {
            int(pid)
            for pid in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()[-1:]
        }
        os.kill(child, signal.SIGKILL)
        assert server.event("worker died")["pid"] == child
        while server.text.count('"event":"started"') < 3:
            time.sleep(0.05)
        assert server.post("/predict", {"text": "late"}).status == 200
        assert server.stop() == 0
