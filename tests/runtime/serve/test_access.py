"""Who may use the service, and what a browser may do with it."""

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from runtime.serve.arguments import hosts, is_loopback, parse_args
from runtime.serve.keys import read_keys

from .client import ROOT, Server

OLD, NEW, WRONG = "old-key-0123456789abcdef", "new-key-0123456789abcdef", "old-key-0123456789abcdeg"


def bearer(key: str) -> dict[str, str]:
    """Returns the header for a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two keys."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# both are valid while clients change over\n{OLD}\n\n{NEW}\n")
    return path


@pytest.fixture(scope="module")
def locked(int8_artifact: Path, keys: Path) -> Server:
    """A server that needs a key."""
    with Server(int8_artifact, "--api-key-file", str(keys)) as server:
        yield server


def test_keys(locked: Server) -> None:
    """Each key of the file opens every route, as a bearer token or in X-API-Key; nothing else does."""
    for headers in (bearer(OLD), bearer(NEW), {"X-API-Key": NEW}):
        assert locked.post("/predict", {"text": "late"}, headers).status == 200
        assert locked.get("/metrics", headers).status == 200
    for headers in ({}, bearer(WRONG), bearer(""), {"X-API-Key": ""}, {"Authorization": OLD}, bearer(f"{OLD} {NEW}")):
        for response in (locked.post("/predict", {"text": "late"}, headers), locked.get("/", headers)):
            assert response.status == 401
            assert response.headers["www-authenticate"] == "Bearer"
    assert locked.metric('litmus_rejected_total{reason="key"}', bearer(OLD)) >= 12


def test_open_routes_need_no_key(locked: Server) -> None:
    """Probes and the pages, which contain no data, are open."""
    for path in ("/health", "/health/live", "/health/ready", "/v2/health/ready", "/ping"):
        assert locked.get(path).status == 200


def test_keys_are_in_no_log(locked: Server) -> None:
    """Neither good nor wrong keys are logged."""
    locked.post("/predict", {"text": "late"}, bearer(OLD))
    locked.post("/predict", {"text": "late"}, bearer(WRONG))
    for key in (OLD, NEW, WRONG):
        assert key not in locked.text


def test_keys_are_exchanged_without_a_restart(int8_artifact: Path, keys: Path, tmp_path: Path) -> None:
    """SIGHUP reads the file again; a damaged file leaves the old keys in place."""
    path = tmp_path / "keys"
    path.write_text(OLD)
    with Server(int8_artifact, "--api-key-file", str(path)) as server:
        path.write_text("short")
        os.kill(server.process.pid, signal.SIGHUP)
        assert "line 1" in server.event("keys kept")["error"]
        assert server.post("/predict", {"text": "late"}, bearer(OLD)).status == 200
        path.write_text(NEW)
        os.kill(server.process.pid, signal.SIGHUP)
        for _ in range(100):
            if server.post("/predict", {"text": "late"}, bearer(NEW)).status == 200:
                break
            time.sleep(0.05)
        assert server.post("/predict", {"text": "late"}, bearer(OLD)).status == 401


@pytest.mark.parametrize(
    "content", ["", "# only a remark\n", "tooshort", "a key with spaces in it", "schlüssel-schlüssel"]
)
def test_wrong_key_files(tmp_path: Path, content: str) -> None:
    """A file without a usable key is refused, and its content not shown."""
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"has no key|line 1: expected") as raised:
        read_keys(path)
    assert not content or content not in str(raised.value).replace(str(path), "")
    with pytest.raises(ValueError, match="No such file"):
        read_keys(tmp_path / "missing")


def test_other_addresses_need_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """An address that other machines can reach is refused without keys, unless `--insecure` is passed."""
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(SystemExit):
            parse_args(["--model", "x", "--host", host])
        assert "pass --api-key-file" in capsys.readouterr().err
        assert parse_args(["--model", "x", "--host", host, "--insecure"]).host == host
        assert parse_args(["--model", "x", "--host", host, "--api-key-file", "keys"]).host == host
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1")] == [True] * 4


def test_host_header(server: Server, locked: Server) -> None:
    """Without keys only this machine's names are accepted, against DNS rebinding; with keys any name."""
    for host in ("localhost", "127.0.0.1", f"localhost:{server.port}", "[::1]:80", "LOCALHOST"):
        assert server.get("/health", {"Host": host}).status == 200
    for host in ("evil.example", "localhost.evil.example", "evil.example:80", ""):
        assert server.get("/health", {"Host": host}).status == 403
    assert locked.get("/health", {"Host": "evil.example"}).status == 200
    args = parse_args(["--model", "x", "--allow-host", "notes.example"])
    assert hosts(args) == {"notes.example"}
    assert "127.0.0.2" in (hosts(parse_args(["--model", "x", "--host", "127.0.0.2"])) or ())


def test_pages_of_other_sites(server: Server, locked: Server) -> None:
    """Without keys, a page of another site cannot even send a text; the service's own page can."""
    own = f"http://localhost:{server.port}"
    for origin, status in ((own, 200), ("https://evil.example", 403), ("null", 403), ("http://localhost:1", 403)):
        headers = {"Origin": origin, "Host": f"localhost:{server.port}"}
        assert server.send("POST", "/predict", b'{"text": "late"}', headers).status == status
    headers = {"Origin": "https://notes.example"} | bearer(OLD)
    assert locked.post("/predict", {"text": "late"}, headers).status == 200


def test_security_headers(server: Server) -> None:
    """Answers may not be sniffed, stored or read by other sites; there is no CORS."""
    for response in (server.get("/"), server.post("/predict", {"text": ""}), server.get("/none")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "server" not in response.headers
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = server.send("OPTIONS", "/predict", None, preflight)
    assert response.status == 405
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_tls(int8_artifact: Path, tmp_path: Path) -> None:
    """With a certificate the service speaks HTTPS."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", *request.split(), *files], check=True, capture_output=True)
    with Server(int8_artifact, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        context = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(f"https://localhost:{server.port}/health", context=context) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "70000"],
        ["--workers", "0"],
        ["--max-texts", "0"],
        ["--max-wait-ms", "nan"],
        ["--timeout-ms", "-1"],
        ["--drain-seconds", "-1"],
        ["--tls-cert", "x"],
        ["--name", "a\nb"],
        ["--provider", "none"],
        ["--threads", "0"],
        ["--unknown"],
        ["stray"],
    ],
    ids=" ".join,
)
def test_wrong_command_lines(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong value ends with status 2 and one line that says what was expected."""
    with pytest.raises(SystemExit) as raised:
        parse_args(["--model", "x", *options])
    assert raised.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_missing_extra(int8_artifact: Path) -> None:
    """Without the packages of the extra `serve`, the error says what to install."""
    code = "import sys; sys.modules['uvicorn'] = None; from runtime.serve.__main__ import main; sys.exit(main())"
    line = [sys.executable, "-c", code, "--model", str(int8_artifact)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: uvicorn is not installed: pip install 'litmus-onnx[cpu,serve]'\n",
    )


def test_failing_start(int8_artifact: Path, tmp_path: Path, server: Server) -> None:
    """A missing artifact, key file or certificate, and a port in use, end with status 1 and one line."""
    good = ["--model", str(int8_artifact), "--port", "0"]
    missing = str(tmp_path / "missing")
    for options in (
        ["--model", missing, "--port", "0"],
        [*good, "--api-key-file", missing],
        [*good, "--tls-cert", missing, "--tls-key", missing],
        ["--model", str(int8_artifact), "--port", str(server.port)],
        ["--model", str(int8_artifact), "--port", "0", "--host", "host.invalid", "--insecure"],
        ["--model", str(int8_artifact), "--port", "0", "--host", "x..y", "--insecure"],
        ["--model", missing, "--port", "0", "--workers", "2"],
    ):
        line = [sys.executable, "-m", "runtime.serve", *options]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, options
        assert done.stderr.count("\n") == done.stderr.count("error: "), done.stderr
        assert "error: " in done.stderr
