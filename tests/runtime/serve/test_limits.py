"""What the service refuses, and that the next good request works."""

import gzip
import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from .client import JSON, Server

CANARY = "Zwetschgenkrampf"


def post(body: bytes, *headers: bytes) -> bytes:
    """Returns the bytes of a POST request."""
    lines = [b"POST /predict HTTP/1.1", b"Host: localhost", b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", body])


@pytest.fixture(autouse=True)
def _works_afterwards(server: Server) -> object:
    """After each test a good request is handled."""
    yield
    assert server.post("/predict", {"text": "late"}).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        (None, 422),
        (3, 422),
        ("late", 422),
        ({"text": None}, 422),
        ({"text": 3}, 422),
        ({"text": ["late"]}, 422),
        ({"texts": "late"}, 422),
        ({"texts": []}, 422),
        ({"texts": [None]}, 422),
        ({"texts": [{}]}, 422),
        ({"texts": ["late", ""]}, 422),
        ({"texts": [" \u200b"]}, 422),
        ({"text": "late", "texts": ["late"]}, 422),
        ({"text": "late", "inputs": "late"}, 422),
        ({"text": "late", "top_k": 10**9}, 200),
        ({"text": "late", "top_k": 0}, 422),
        ({"text": "late", "top_k": 10**30}, 422),
        ({"text": "late", "thresholds": -1}, 422),
        ({"text": "late", "thresholds": {"none such": 0.5}}, 422),
        ({"text": "late", "windows": "sum"}, 422),
        ({"text": "late", CANARY: 1}, 422),
        ({"text": "late", "windows": CANARY}, 422),
        ({"inputs": "late", "truncation_direction": CANARY}, 422),
        ({"text": "late", "top_k": CANARY}, 422),
        ({"inputs": []}, 422),
        ({"inputs": [[]]}, 422),
        ({"inputs": [3]}, 422),
        ({"inputs": "late", "truncation_direction": "left"}, 422),
        ({"inputs": "late", "parameters": {"a": 1}}, 422),
        ({"texts": ["late"] * 40}, 200),
        ({"texts": ["late"] * 41}, 422),
        (b"", 400),
        (b"{", 400),
        (b'{"text": "late"} x', 400),
        (b'{"text": NaN}', 400),
        (b'{"text": "late", "thresholds": 1e999}', 422),
        (b'\xef\xbb\xbf{"text": "late"}', 400),
        (b'{"text": "\xff\xfe"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": "late\\u0000"}', 200),
        (b'{"text": "early", "text": "late"}', 200),
        (b'{"x": ' + b"[" * 9000, 422),
        (b'{"text": ' + b"[" * 9000, 422),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bodies(server: Server, body: object, status: int) -> None:
    """Each body has its status and an error in JSON that repeats nothing of it."""
    response = server.post("/predict", body)
    assert response.status == status, response
    if status != 200:
        assert {*response.json} == {"error", "error_type"}
        assert CANARY not in response.body.decode()


def test_deep_json(int8_artifact: Path) -> None:
    """JSON that is nested 150,000 deep is not valid, and the process lives on."""
    with Server(int8_artifact) as server:
        for body in (b'{"text": ' + b"[" * 150_000, b'{"x": ' + b"[" * 150_000 + b"]" * 150_000 + b"}", b"[" * 150_000):
            assert server.post("/predict", body).status in (400, 422)
        assert server.post("/predict", {"text": "late"}).status == 200


def test_body_size_to_the_byte(server: Server) -> None:
    """20,000 bytes are read, 20,001 are refused, with and without a Content-Length."""
    for size, status in (19_999, 200), (20_000, 200), (20_001, 413):
        body = b'{"text": "late"' + b" " * (size - 16) + b"}"
        assert len(body) == size
        assert server.post("/predict", body).status == status
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1000], body[1000:]))
        request = post(chunks + b"0\r\n\r\n", b"Content-Type: application/json", b"Transfer-Encoding: chunked")
        assert server.raw(request).startswith(b"HTTP/1.1 %d " % status)


def test_many_chunks(server: Server) -> None:
    """A body in chunks of one byte is read, and refused once it is too large."""
    body = b'{"text": "late"' + b" " * 10_000 + b"}"
    headers = (b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert server.raw(post(chunks + b"0\r\n\r\n", *headers)).startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 413 " in server.raw(post(b"1\r\n \r\n" * 100_000, *headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        JSON | {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_other_content(server: Server, headers: dict[str, str]) -> None:
    """Forms, plain text (which a page of another site could send) and compressed bodies are refused unread."""
    body = gzip.compress(json.dumps({"text": "late"}).encode())
    assert server.send("POST", "/predict", body, headers).status == 415


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/octet-stream"}, JSON], ids=str)
def test_accepted_content(server: Server, headers: dict[str, str]) -> None:
    """JSON may come without a type, or as octets, as Triton's clients send it."""
    assert server.send("POST", "/predict", b'{"text": "late"}', headers).status == 200


@pytest.mark.parametrize(
    "length", [b"Content-Length: -1", b"Content-Length: x", b"Content-Length: 3\r\nContent-Length: 4"]
)
def test_wrong_content_length(server: Server, length: bytes) -> None:
    """A length that is no number, negative, or double with two values is refused."""
    assert server.raw(post(b"{}", length)).startswith(b"HTTP/1.1 400 ")


def test_pipelined_requests(server: Server) -> None:
    """Requests that are sent without waiting are handled in order."""
    body = b'{"text": "late"}'
    one = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % len(body)
    found = server.raw(one + b"\r\n" + body, one + b"\r\n" + body, one + b"Connection: close\r\n\r\n" + body)
    assert found.count(b"HTTP/1.1 200 ") == 3


def test_bad_bytes_after_a_good_request(server: Server) -> None:
    """The good request gets its response, and the connection is closed; bad bytes alone get 400 in JSON."""
    body = b'{"text": "late"}'
    good = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert server.raw(good + b"GARBAGE\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    alone = server.raw(b"GARBAGE\r\n\r\n")
    assert alone.startswith(b"HTTP/1.1 400 ")
    assert json.loads(alone.rpartition(b"\r\n\r\n")[2])["error"] == "the request is not valid HTTP"


def test_too_many_headers(server: Server) -> None:
    """Headers without end, one endless header and many headers are refused long before they fill the memory."""
    start = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    assert b"HTTP/1.1 431 " in server.raw(start, b"a: b\r\n" * 100_000, b"c: d\r\n" * 100_000)
    assert b"HTTP/1.1 431 " in server.raw(start + b"a: ", b"x" * 300_000, b"x" * 300_000)
    assert b"HTTP/1.1 431 " in server.raw(start + b"a: b\r\n" * 200 + b"Connection: close\r\n\r\n")
    assert server.raw(start + b"a: b\r\n" * 100 + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_offer_of_http2(server: Server) -> None:
    """A client that offers HTTP/2, as curl and Java do, gets its response in HTTP/1.1."""
    body = b'{"text": "late"}'
    offer = (b"Connection: Upgrade, HTTP2-Settings, close", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ")
    head = b"\r\n".join([b"POST /predict HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body), *offer])
    assert server.raw(head + b"\r\n\r\n" + body).startswith(b"HTTP/1.1 200 ")


def test_half_closed_socket(server: Server) -> None:
    """A client that closes its sending side still gets nothing wrong, and the service lives on."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(post(b'{"text": "late"}', b"Content-Length: 16"))
        connection.shutdown(socket.SHUT_WR)
        received = connection.recv(65536)
    assert received == b"" or received.startswith(b"HTTP/1.1 ")


def test_request_id(server: Server) -> None:
    """A plain id comes back; another one, such as one with a line break, is replaced."""
    assert server.get("/health", {"X-Request-Id": "a-1.b:2"}).headers["x-request-id"] == "a-1.b:2"
    for given in ("x" * 129, "ä", f"{CANARY} note"):
        found = server.get("/health", {"X-Request-Id": given.encode().decode("latin-1")}).headers["x-request-id"]
        assert len(found) == 16
    injected = server.raw(
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: a\rb: c\r\n\r\n"
    )
    assert b"\nb: c" not in injected


def test_slow_request_and_idle_connection(int8_artifact: Path) -> None:
    """A request that does not arrive in time, and a connection without one, are closed."""
    with Server(int8_artifact, "--receive-seconds", "0.5", "--idle-seconds", "1") as server:
        start = time.monotonic()
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        assert b"200" not in server.raw(head, b"{", b" ", b" ", pause_s=0.3)
        assert server.raw(b"POST /pre") == b""
        assert server.raw() == b""
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert server.raw(get, b"\r\n", pause_s=0.2).count(b"HTTP/1.1") == 1  # then it closes
        missing = b"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
        assert b" 404 " in server.raw(missing, b"{}", pause_s=0.2)
        assert time.monotonic() - start < 12
        assert server.post("/predict", {"text": "late"}).status == 200


def test_client_that_does_not_read(int8_artifact: Path) -> None:
    """A connection whose client sends requests and reads no responses is closed, and its memory is bounded."""
    with Server(int8_artifact, "--receive-seconds", "0.5", "--idle-seconds", "1") as server:
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
            with pytest.raises(ConnectionError):
                for _ in range(1000):
                    connection.sendall(request * 20)
                    time.sleep(0.01)
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
        assert int(peak[1]) < 300_000
        assert server.post("/predict", {"text": "late"}).status == 200


def test_overload(int8_artifact: Path) -> None:
    """Beyond the limits on what waits the response is 429 at once, with Retry-After; the others are handled."""
    with Server(int8_artifact, "--max-waiting-tokens", "200", "--max-wait-ms", "30000") as server:
        body = {"texts": ["late " * 90] * 40}
        found = []

        def ask() -> None:
            start = time.monotonic()
            response = server.post("/predict", body)
            found.append((response.status, response.headers.get("retry-after"), time.monotonic() - start))

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rejected = [item for item in found if item[0] == 429]
        assert {status for status, _, _ in found} == {200, 429}
        assert all(int(retry) >= 1 for _, retry, _ in rejected)
        assert server.metric('litmus_rejected_total{reason="overload"}') == len(rejected)
        assert server.post("/predict", {"text": "late"}).status == 200


def test_deadline(server: Server) -> None:
    """A request that is not answered within its `X-Request-Timeout-Ms` gets 504; the header has to be a number."""
    body = {"texts": ["late " * 90] * 40}
    assert server.post("/predict", body, {"X-Request-Timeout-Ms": "0"}).status == 504
    assert server.post("/predict", {"text": "late"}, {"X-Request-Timeout-Ms": "0"}).status == 504
    assert server.post("/predict", body, {"X-Request-Timeout-Ms": "20000"}).status == 200
    for value in ("-1", "soon", "1" * 20):
        assert server.post("/predict", body, {"X-Request-Timeout-Ms": value}).status == 422


def test_wrong_open_inference_requests(server: Server) -> None:
    """Wrong tensors, lengths and names are refused without an error of the server."""
    path, text = "/v2/models/notes/infer", {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["late"]}
    assert server.post(path, {"inputs": [text]}).status == 200
    for change in (
        {"name": "other"},
        {"datatype": "FP32"},
        {"shape": [2]},
        {"shape": [-1]},
        {"shape": []},
        {"shape": [1, 2]},
        {"data": None},
        {"data": [3]},
        {"data": [[]]},
        {"data": None, "parameters": {"binary_data_size": "4"}},
        {"data": None, "parameters": {"binary_data_size": -1}},
    ):
        assert server.post(path, {"inputs": [text | change]}).status == 422, change
    for change in (
        {"inputs": []},
        {"inputs": [text, text]},
        {"outputs": [{"name": "none"}]},
        {"id": "a\nb"},
        {"id": "x" * 129},
    ):
        assert server.post(path, {"inputs": [text]} | change).status == 422, change
    for length in ("0" * 5000, "-1", "x", "99999"):
        assert server.post(path, {"inputs": [text]}, {"Inference-Header-Content-Length": length}).status == 400
    assert server.post("/v2/models/other/infer", {"inputs": [text]}).status == 404
    assert server.post("/v2/models/notes/versions/7/infer", {"inputs": [text]}).status == 404


def test_explanations_are_limited(server: Server) -> None:
    """A few explanations run at once; further ones get 429, a late one 504, and the service goes on."""
    text = "late train was rude " * 10
    found = []

    def ask() -> None:
        found.append(server.post("/explain", {"text": text}).status)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    assert server.post("/predict", {"text": "late"}).status == 200
    for thread in threads:
        thread.join()
    assert {*found} == {200, 429}
    assert found.count(200) >= 4
    assert server.post("/explain", {"text": text}, {"X-Request-Timeout-Ms": "1"}).status == 504
    assert server.post("/explain", {"text": text}).status == 200


def test_client_that_leaves(server: Server) -> None:
    """Nothing is computed for a client that has left."""
    before = server.metric("litmus_texts_total")
    request = json.dumps({"texts": ["late " * 90] * 40}).encode()
    for _ in range(20):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(post(request, b"Content-Length: %d" % len(request)))
    time.sleep(0.5)
    assert server.metric("litmus_texts_total") - before < 20 * 40
    assert server.metric('litmus_requests_total{route="/predict",status="499"}') > 0
    assert server.metric("litmus_waiting_tokens") == 0


def test_500_at_once(server: Server) -> None:
    """500 requests at once are all handled, each with its own text's label."""
    texts = ["late", "train late", "late train late train"]
    expected = [server.post("/predict", {"text": text}).json for text in texts]
    found: list[object] = [None] * 500

    def ask(number: int) -> None:
        found[number] = server.post("/predict", {"text": texts[number % 3]}).json

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected[number % 3] for number in range(500)]


def test_texts_appear_nowhere(int8_artifact: Path) -> None:
    """A text occurs in no log, metric, error or header, whether its request was good or bad."""
    with Server(int8_artifact, "--max-texts", "3") as server:
        responses = []
        for number in range(70):  # 1,050 requests
            text = f"{CANARY} {number}"
            bodies: list[object] = [
                {"text": text},
                {"texts": [text, ""]},
                {"texts": [text] * 4},
                {"text": text, "thresholds": {text: 1}},
                {text: text},
                {"inputs": [text, text]},
                {"text": {text: text}},
                json.dumps({"text": text}).encode()[:-1],
                b'{"text": "' + text.encode() + b'\xff"}',
            ]
            responses += [server.post("/predict", body) for body in bodies]
            responses += (
                server.post("/explain", {"text": text}),
                server.post("/explain", {"text": "late", "label": text}),
                server.post("/classify", {"input": text, "model": text}),
                server.get(f"/{CANARY}"),
                server.send("GET", "/", None, {"X-Request-Id": text, "Host": CANARY, "X-API-Key": CANARY}),
                server.send(CANARY, "/", None, {}),
            )
        responses.append(server.get("/metrics"))
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)  # a core dump would contain the texts
        assert server.stop() == 0
        assert CANARY not in server.text
        for response in responses:
            assert CANARY not in response.body.decode() + str(response.headers)
