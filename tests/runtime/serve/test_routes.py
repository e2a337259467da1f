"""The routes: the service's own form, TEI, vLLM, explanations, and what it tells about itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import Classifier, load

from .client import Server

LONG = "late " * 200


@pytest.fixture(scope="module")
def classifier(int8_artifact: Path) -> Any:
    """The classifier that the server serves."""
    with load(int8_artifact, provider="cpu", variant="int8", threads=1) as loaded:
        yield loaded


def test_own_form(server: Server, classifier: Classifier) -> None:
    """A response per text, in order, bit-equal to the classifier's: scores, labels, and whether it was truncated."""
    texts = ["late", "train was late", LONG]
    response = server.post("/predict", {"texts": texts})
    expected = classifier.predict_many(texts)
    assert response.status == 200
    assert response.json == [
        {
            "proba": dict(prediction.scores),
            "labels_short": list(prediction.labels),
            "labels": list(prediction.labels),
            "abstained": False,
            "truncated": prediction.truncated,
        }
        for prediction in expected
    ]


def test_one_text_is_an_array_too(server: Server) -> None:
    """`text` is handled like `texts` with one text."""
    assert server.post("/predict", {"text": "late"}).json == server.post("/predict", {"texts": ["late"]}).json


def test_options(server: Server, classifier: Classifier) -> None:
    """`top_k`, `thresholds` and `windows` have their meaning in `predict`."""
    (response,) = server.post("/predict", {"text": LONG, "top_k": 2, "windows": "max"}).json
    expected = classifier.predict(LONG, top_k=2, windows="max")
    assert response["proba"] == dict(expected.scores)
    assert not response["truncated"]
    (response,) = server.post("/predict", {"text": "late", "thresholds": 1.0}).json
    assert (response["labels"], response["abstained"]) == ([], True)


def test_multi_label_and_echo(multi_label_server: Server) -> None:
    """Thresholds by label; the text comes back only because of `--echo-input`."""
    labels = multi_label_server.get("/").json["labels"]
    body = {"text": "late", "thresholds": dict.fromkeys(labels, 0.0)}
    (response,) = multi_label_server.post("/predict", body).json
    assert {*response["labels"]} == {*labels}
    assert response["input"] == "late"


def test_tei(server: Server, classifier: Classifier) -> None:
    """TEI's form gives all scores, best first: a list for one text, a list of lists for a batch."""
    expected = sorted(classifier.predict("late").scores.items(), key=lambda item: -item[1])
    one = [{"score": score, "label": label} for label, score in expected]
    for inputs, response in ("late", one), (["late"], one), ([["late"], ["late"]], [one, one]):
        assert server.post("/predict", {"inputs": inputs}).json == response
    raw = server.post("/predict", {"inputs": "late", "raw_scores": True}).json
    logits = dict(zip(classifier.labels, classifier.predict("late", with_logits=True).logits, strict=True))
    assert [(item["label"], item["score"]) for item in raw] == sorted(logits.items(), key=lambda item: -item[1])


def test_tei_headers(server: Server) -> None:
    """TEI's headers give the times, the characters and the tokens."""
    headers = server.post("/predict", {"inputs": [["late"], ["train late"]]}).headers
    assert headers["x-compute-type"] == "cpu"
    assert (headers["x-compute-characters"], headers["x-compute-tokens"]) == ("14", "7")
    for name in ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
        assert int(headers[name]) >= 0


def test_tei_truncation(server: Server) -> None:
    """With `truncate: false` a text that is too long is an error; otherwise it is truncated."""
    assert server.post("/predict", {"inputs": LONG}).status == 200
    assert server.post("/predict", {"inputs": LONG, "truncate": True}).status == 200
    response = server.post("/predict", {"inputs": LONG, "truncate": False})
    assert response.status == 422
    assert response.json["error_type"] == "Validation"


def test_tei_pairs(server: Server) -> None:
    """In TEI's form a list of two strings is a pair, which is refused with the form of a batch."""
    for inputs in (["a", "b"], [["a", "b"]]):
        response = server.post("/predict", {"inputs": inputs})
        assert response.status == 422
        assert '[["a"], ["b"]]' in response.json["error"]


@pytest.mark.parametrize("path", ["/classify", "/v1/classify"])
def test_classify(server: Server, classifier: Classifier, path: str) -> None:
    """The form of vLLM gives the label and the scores in label order, and counts the tokens."""
    response = server.post(path, {"model": "notes", "input": ["late", "train late"]}).json
    for item, prediction in zip(response["data"], classifier.predict_many(["late", "train late"]), strict=True):
        assert item["label"] == prediction.label
        assert item["probs"] == list(prediction.scores.values())
        assert item["num_classes"] == 3
    assert (response["object"], response["model"]) == ("list", "notes")
    assert response["usage"]["prompt_tokens"] == response["usage"]["total_tokens"] == 7
    assert server.post(path, {"input": "late"}).json["data"][0]["index"] == 0
    assert server.post(path, {"model": "gpt", "input": "late"}).status == 404


def test_explain(server: Server, classifier: Classifier) -> None:
    """`/explain` gives what `explain` gives; int8 makes it bit-equal."""
    text = "late train was late"
    expected = classifier.explain(text)
    response = server.post("/explain", {"text": text}).json
    assert (response["label"], response["score"]) == (expected.label, expected.score)
    assert [(word["start"], word["end"], word["contribution"]) for word in response["words"]] == [
        (word.start, word.end, word.contribution) for word in expected.words
    ]
    other = classifier.labels[-1]
    assert server.post("/explain", {"text": text, "label": other}).json["label"] == other
    assert server.post("/explain", {"text": text, "label": "none such"}).status == 422


def test_about(server: Server, classifier: Classifier) -> None:
    """`/`, `/info` and `/v1/models` name the model, its labels and its limits."""
    about = server.get("/").json
    assert (about["name"], about["model"], about["labels"]) == ("litmus", "notes", list(classifier.labels))
    assert about["model_sha256"] == classifier.info()["artifact"]["sha256"]
    info = server.get("/info").json
    assert info["model_type"]["classifier"]["id2label"] == {
        str(index): label for index, label in enumerate(classifier.labels)
    }
    assert (info["max_client_batch_size"], info["max_input_length"]) == (40, classifier.manifest.max_length)
    assert [model["id"] for model in server.get("/v1/models").json["data"]] == ["notes"]


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live", "/ping"])
def test_health(server: Server, path: str) -> None:
    """A running service is live and ready."""
    assert server.get(path).status == 200


def test_unknown_path_and_method(server: Server) -> None:
    """They are errors in JSON like the others; the path is not repeated."""
    response = server.get("/predictions-about-Smith")
    assert (response.status, response.json) == (404, {"error": "not found", "error_type": "Validation"})
    response = server.get("/predict")
    assert (response.status, response.json["error"]) == (405, "method not allowed; use POST")


def test_metrics(server: Server) -> None:
    """Requests, phases, texts, labels and batches are counted by value, in low cardinality."""
    ok, bad = (
        'litmus_requests_total{route="/predict",status="200"}',
        'litmus_requests_total{route="/predict",status="422"}',
    )
    names = (
        ok,
        bad,
        "litmus_texts_total",
        "litmus_truncated_texts_total",
        "litmus_tokens_total",
        "litmus_batch_texts_sum",
    )
    before = [server.metric(name) for name in names]
    server.post("/predict", {"texts": ["late", LONG]})
    server.post("/predict", {"texts": []})
    length = server.get("/info").json["max_input_length"]
    assert [server.metric(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 2, 1, 3 + length, 2]
    page = server.get("/metrics").body.decode()
    assert page.count("litmus_labels_total{") <= 3
    assert 'litmus_phase_duration_seconds_count{phase="infer"}' in page
    assert 'le="0.0001"' in page


def test_log(server: Server) -> None:
    """A line per request has its id, route, status, size and time."""
    server.post("/predict", {"texts": ["late", "late train"]}, {"X-Request-Id": "abc-1"})
    line = server.event("request", "abc-1")
    assert {name: line[name] for name in ("event", "method", "route", "status", "texts", "tokens", "truncated")} == {
        "event": "request",
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "texts": 2,
        "tokens": 7,
        "truncated": 0,
    }
    assert 0 < line["ms"] < 10_000
    assert json.dumps(line).count("late") == 0
