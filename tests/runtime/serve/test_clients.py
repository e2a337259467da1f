"""The clients of others: Triton, KServe, schemathesis and a browser, each in an environment of its own."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.environments import peer_python
from runtime import load

from .client import Server

pytestmark = [pytest.mark.registry, pytest.mark.slow]

PEER = Path(__file__).parents[2] / "peers" / "http"
TEXTS = ["late", "train was lâte 🙂"]
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of the clients."""
    return Path(peer_python("http", PEER / "requirements.txt"))


def run(python: Path, script: str, job: dict[str, Any]) -> Any:
    """Runs a script of the peer and returns what it printed."""
    line = [str(python), str(PEER / script)]
    done = subprocess.run(line, input=json.dumps(job), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_triton_and_kserve(python: Path, server: Server, int8_artifact: Path) -> None:
    """Both clients get the classifier's scores and labels, in binary and in JSON."""
    job = {"address": f"localhost:{server.port}", "model": "notes", "texts": TEXTS}
    found = run(python, "run_clients.py", job)
    with load(int8_artifact, provider="cpu", variant="int8", threads=1) as classifier:
        expected = classifier.predict_many(TEXTS)
        labels = classifier.labels
    *responses, refused = found["triton"]
    assert len(responses) == 8
    for response in responses:
        for row, prediction in zip(response["scores"], expected, strict=True):
            assert row == pytest.approx(list(prediction.scores.values()), abs=1e-6)
        assert [label.removeprefix("b'").removesuffix("'") for label in response["label"]] == [
            prediction.label for prediction in expected
        ]
        assert response["assigned"] == [[label in prediction.labels for label in labels] for prediction in expected]
        assert response["truncated"] == [False, False]
    assert refused == {"error": "there is no such model; this service has notes"}
    for response in found["kserve"]:
        assert response["label"] == [prediction.label for prediction in expected]
        flat = [score for prediction in expected for score in prediction.scores.values()]
        assert response["scores"] == pytest.approx(flat, abs=1e-6)


def test_schemathesis(python: Path, int8_artifact: Path, tmp_path: Path) -> None:
    """Requests made from the OpenAPI document, valid and not, get documented responses and no server error."""
    with Server(int8_artifact, "--max-wait-ms", "30000") as server:
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        line = [str(python.parent / "schemathesis"), "run", f"http://localhost:{server.port}/openapi.json"]
        line += ["--max-examples", "40", "--checks", checks, "--seed", "1", "--no-color"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-3000:]
        assert '"status":500' not in server.text


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
def test_page_in_a_browser(python: Path, multi_label_artifact: Path, tmp_path: Path) -> None:
    """The page classifies by keyboard, shows scores and words, loads nothing from elsewhere, and axe finds nothing."""
    with Server(multi_label_artifact) as server:
        url, text = f"http://localhost:{server.port}", "late 🙂 train <b>rude</b> late"
        job = {"url": url, "text": text, "chromium": CHROMIUM, "folder": str(tmp_path)}
        found = run(python, "run_browser.py", job)
        (response,) = server.post("/predict", {"text": text}).json
        explained = server.post("/explain", {"text": text}).json
    ranked = sorted(response["proba"].items(), key=lambda item: -item[1])
    words = [(abs(word["contribution"]), text[word["start"] : word["end"]]) for word in explained["words"]]
    for page in found["pages"]:
        assert page["labels"] == (", ".join(response["labels"]) or "No label reaches its threshold.")
        assert [(row[0], row[-1]) for row in page["rows"]] == [(label, f"{score:.3f}") for label, score in ranked]
        assert page["words"] == text
        assert max(words)[1] in page["strongest"]
        assert "nothing to classify" in page["error"]
        assert [problem for problem in page["problems"] if " 422 " not in problem] == []  # of the empty text
        assert all(request.startswith(url) or request == "data:," for request in page["requests"])
        assert not page["overflow"]
    assert found["violations"] == [[], []]
    assert len(list(tmp_path.glob("*.png"))) == 4
