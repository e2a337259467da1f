"""docs/service.md, docs/deploy.md and the files of deploy/ say what the service does."""

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.serve.arguments import parse_args

from .client import ROOT, Server

PAGE = (ROOT / "docs/service.md").read_text("utf-8")
DEPLOY = ROOT / "deploy"


def blocks(language: str) -> list[str]:
    """Returns the code blocks of docs/service.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def containers(name: str) -> list[dict[str, Any]]:
    """Returns the containers of a manifest of Kubernetes."""
    documents = list(yaml.safe_load_all((DEPLOY / name).read_text()))
    spec = documents[0]["spec"]
    return list(
        spec["predictor" if "predictor" in spec else "template"].get("spec", spec.get("predictor"))["containers"]
    )


def test_requests(server: Server) -> None:
    """The requests of the page succeed, with responses of the same form as on the page."""
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl")]
    shown = [
        json.loads(line)
        for block in blocks("json")
        for line in block.splitlines()
        if line[0] == "[" or '"words"' in line or '"object"' in line
    ]
    assert len(commands) == len(shown) == 4
    for command, expected in zip(commands, shown, strict=True):
        line = shlex.split(command.replace("localhost:8000", f"localhost:{server.port}"))
        found = json.loads(subprocess.run([*line, "--silent"], capture_output=True, check=True).stdout)
        for one, other in ((found, expected),) if isinstance(found, dict) else zip(found, expected, strict=False):
            assert {*one} == {*other}


def test_log_line(server: Server) -> None:
    """The line of the log on the page has the fields of a real one."""
    (shown,) = [json.loads(line) for block in blocks("json") for line in block.splitlines() if '"event"' in line]
    server.post("/predict", {"text": "late"}, {"X-Request-Id": "the-line"})
    assert [*server.event("request", "the-line")] == [*shown]


def test_options_and_metrics(server: Server) -> None:
    """Every option of the page exists, the table has every limit with its default, and every metric is there."""
    defaults = vars(parse_args(["--model", "x"]))
    for option in set(re.findall(r"`--([a-z-]+)[^`]*`", PAGE)) - {"label-short-names"}:
        assert option.replace("-", "_") in defaults, option
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| ([\d.]+)(?: MiB)? \|", PAGE, re.MULTILINE))
    limits = {
        name.replace("_", "-"): value for name, value in defaults.items() if re.match(r"max_|.*_seconds|timeout_", name)
    }
    assert {*rows} == {*limits}
    assert {name: float(value) for name, value in rows.items()} == limits | {"max-body-bytes": 2}
    server.post("/predict", {"text": ""})
    metrics = server.get("/metrics").body.decode()
    for name in set(re.findall(r"`(litmus_\w+)`", PAGE)):
        assert f"# HELP {name} " in metrics, name


def test_fastapi_example(artifact: Path, tmp_path: Path) -> None:
    """The FastAPI service of the page runs and returns a label."""
    (example,) = blocks("python")
    (tmp_path / "example.py").write_text(example.replace("build/artifact", str(artifact)))
    line = [sys.executable, "-m", "uvicorn", "example:app", "--port", "0", "--app-dir", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = next(
            found[1] for text in process.stderr if (found := re.search(r"running on http://127.0.0.1:(\d+)", text))
        )
        request = urllib.request.Request(f"http://127.0.0.1:{port}/label?text=late", method="POST")
        with urllib.request.urlopen(request) as response:
            assert json.load(response)["label"]
        process.terminate()
        process.stderr.read()


def test_container() -> None:
    """The image's command line is one that the service accepts, and its health check asks for a route that exists."""
    text = (DEPLOY / "Dockerfile").read_text()
    entry = json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)[1])
    command = json.loads(re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1])
    assert entry[:3] == ["python", "-m", "runtime.serve"]
    assert parse_args([*entry[3:], *command]).host == "0.0.0.0"
    assert "/health'" in text
    assert "USER 10001" in text


@pytest.mark.parametrize("name", ["kubernetes.yaml", "kserve.yaml"])
def test_manifests(server: Server, name: str) -> None:
    """The arguments are accepted, the probes ask for routes that exist, and the pod outlives the drain."""
    (container,) = containers(name)
    args = parse_args(["--model", "/artifact", "--host", "0.0.0.0", *container["args"]])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe in container:
            assert server.get(container[probe]["httpGet"]["path"]).status == 200
    assert container["securityContext"]["readOnlyRootFilesystem"]
    if name == "kubernetes.yaml":
        pod = next(yaml.safe_load_all((DEPLOY / name).read_text()))["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > args.drain_seconds + 5


def test_unit() -> None:
    """The unit's command line is accepted, and systemd waits longer than the drain."""
    text = (DEPLOY / "litmus.service").read_text()
    line = re.search(r"^ExecStart=\S+ -m runtime.serve (.*)$", text, re.MULTILINE)[1]
    args = parse_args(shlex.split(line))
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1]) > args.drain_seconds


def test_dashboard(server: Server) -> None:
    """Every metric of the dashboard exists."""
    server.post("/predict", {"text": "late"})
    metrics = server.get("/metrics").body.decode()
    names = set(re.findall(r"litmus_\w+", (DEPLOY / "grafana.json").read_text()))
    assert len(names) > 10
    for name in names:
        stem = re.sub(r"_(bucket|sum|count)$", "", name)
        assert f"# TYPE {stem} " in metrics, name


def test_paths() -> None:
    """Every file that the pages name exists."""
    for page in ("docs/service.md", "docs/deploy.md"):
        for path in re.findall(r"`((?:deploy|docs|runtime)/[\w./]*)`", (ROOT / page).read_text()):
            assert (ROOT / path).exists(), path


def test_writes_no_file(int8_artifact: Path) -> None:
    """The service runs without HOME in a process that may write to no file, so its root can be read-only."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from runtime.serve.__main__ import main\n"
        f"sys.exit(main(['--model', {str(int8_artifact)!r}, '--port', '0', '--threads', '1']))\n"
    )
    line, environment = [sys.executable, "-c", code], {"PYTHONPATH": str(ROOT), "PATH": ""}
    with subprocess.Popen(line, cwd="/", env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        started = json.loads(process.stderr.readline())
        request = urllib.request.Request(
            f"http://{started['address']}/predict", b'{"text": "late"}', {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
