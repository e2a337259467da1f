"""The description of the service: `/openapi.json`, and `/docs`, a page made of it that loads nothing."""

import html
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ...page import page_end, page_start
from ...version import __version__
from ..http import JSON, Scope, Send, send_bytes
from ..pages import HTML, csp
from .classify import ClassifyBody, ClassifyResponse
from .explain import ExplainBody, ExplainResponse
from .oip import InferBody, InferResponse
from .predict import OwnResponse, PredictBody, TeiScore


class Failure(msgspec.Struct):
    """Every response other than 200."""

    error: str
    error_type: str


class Operation(NamedTuple):
    """A route.

    Attributes:
        method: HTTP method.
        path: Path; with parameters in braces.
        summary: What it does.
        body: Type of the body; None for no body.
        response: Type of the response; None for a plain JSON object, "text" for text.
    """

    method: str
    path: str
    summary: str
    body: Any = None
    response: Any = None


OPERATIONS = (
    Operation("post", "/predict", "Classify texts; with `inputs` in the form of TEI.", PredictBody, "predict"),
    Operation("post", "/classify", "Classify texts in the form of vLLM.", ClassifyBody, ClassifyResponse),
    Operation("post", "/v1/classify", "Classify texts in the form of SGLang.", ClassifyBody, ClassifyResponse),
    Operation("post", "/explain", "What each word contributes to a label's score.", ExplainBody, ExplainResponse),
    Operation("get", "/", "Name, version, model and labels."),
    Operation("get", "/info", "The model and its limits in the form of TEI."),
    Operation("get", "/health", "200 while requests are taken; also `/health/ready` and `/ping`."),
    Operation("get", "/health/live", "200 while the process runs."),
    Operation("get", "/metrics", "Metrics in the text format of Prometheus.", response="text"),
    Operation("get", "/v1/models", "The model's name."),
    Operation("get", "/v2", "Open Inference Protocol: the server."),
    Operation("get", "/v2/health/live", "Open Inference Protocol: liveness."),
    Operation("get", "/v2/health/ready", "Open Inference Protocol: readiness."),
    Operation("get", "/v2/models", "Open Inference Protocol: the models."),
    Operation("get", "/v2/models/{name}", "Open Inference Protocol: the model's tensors."),
    Operation("get", "/v2/models/{name}/ready", "Open Inference Protocol: readiness of the model."),
    Operation("post", "/v2/models/{name}/infer", "Open Inference Protocol: classify texts.", InferBody, InferResponse),
)
FAILURES = {
    "400": "The body is not JSON.",
    "401": "The key is missing or wrong.",
    "403": "The Host header is not allowed.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "415": "The body has another type than JSON.",
    "422": "A field, a text or an option is wrong.",
    "429": "Too many requests wait; see Retry-After.",
    "431": "There are too many headers.",
    "500": "The model failed.",
    "503": "The service is shutting down.",
    "504": "The time is over.",
}


def openapi(model: str) -> dict[str, Any]:
    """Returns the OpenAPI document of a service for a model of this name."""
    kinds: list[Any] = [Failure, OwnResponse, TeiScore]
    kinds += [kind for item in OPERATIONS for kind in (item.body, item.response) if isinstance(kind, type)]
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for item in OPERATIONS:
        paths.setdefault(item.path, {})[item.method] = _operation(item, model)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Litmus", "version": __version__, "description": "Classifies texts."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def page(document: Mapping[str, Any]) -> str:
    """Returns the document as an HTML page without scripts."""
    parts = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = "".join(
                f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>"
                for title, text in _schemas(operation, document["components"]["schemas"])
            )
            parts.append(
                f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
                f"<p>{_with_code(operation['summary'])}</p>{shown}</section>"
            )
    failures = "".join(f"<tr><td>{status}</td><td>{html.escape(text)}</td></tr>" for status, text in FAILURES.items())
    body = BODY.format(parts="".join(parts), failures=failures, version=__version__)
    return page_start("Litmus API", extra_style=STYLE) + body + page_end()


class OpenApiRoutes:
    """Handles `/openapi.json` and `/docs`."""

    def __init__(self, model: str) -> None:
        """Writes both once, for a model of this name."""
        document = openapi(model)
        self._json = json.dumps(document).encode()
        text = page(document)
        self._page, self._csp = text.encode(), csp(text)

    async def document(self, scope: Scope, send: Send) -> None:
        """`GET /openapi.json`."""
        scope["exchange"].route = "/openapi.json"
        await send_bytes(send, 200, self._json, JSON)

    async def docs(self, scope: Scope, send: Send) -> None:
        """`GET /docs`."""
        scope["exchange"].route = "/docs"
        await send_bytes(send, 200, self._page, HTML, [(b"content-security-policy", self._csp)])


def _with_code(text: str) -> str:
    """Returns a text as HTML, with code between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def _operation(item: Operation, model: str) -> dict[str, Any]:
    if item.response == "text":
        content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": _response_schema(item.response)}}
    found: dict[str, Any] = {
        "summary": item.summary,
        "operationId": f"{item.method} {item.path}",
        "responses": {"200": {"description": "The response.", "content": content}},
    }
    failure = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}
    statuses = FAILURES if item.body is not None else ("401", "403", "404", "503")
    for status in statuses:
        found["responses"][status] = {"description": FAILURES[status], "content": failure}
    if item.path.endswith("ready") or item.path == "/health":
        plain = {"application/json": {"schema": {"type": "object"}}}
        found["responses"]["503"] = {"description": FAILURES["503"], "content": plain}
    if item.body is not None:
        schema = {"$ref": f"#/components/schemas/{item.body.__name__}"}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if "{name}" in item.path:
        name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": [model]}}
        found["parameters"] = [name]
    return found


def _response_schema(response: Any) -> dict[str, Any]:
    if response is None:
        return {"type": "object"}
    if response == "predict":
        scores = {"type": "array", "items": {"$ref": "#/components/schemas/TeiScore"}}
        own = {"type": "array", "items": {"$ref": "#/components/schemas/OwnResponse"}}
        return {"anyOf": [own, scores, {"type": "array", "items": scores}]}
    return {"$ref": f"#/components/schemas/{response.__name__}"}


def _schemas(operation: Mapping[str, Any], components: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the schemas of an operation's body and response as text."""
    found = []
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    response = operation["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
    for title, schema in ("Body", body), ("Response", response):
        name = schema.get("$ref", "").rpartition("/")[2]
        if name:
            found.append((f"{title}: {name}", json.dumps(components[name], indent=2)))
        elif "anyOf" in schema:
            found.append((title, json.dumps(schema, indent=2)))
    return found


STYLE = """
a { color: inherit; }
pre { border: 1px solid var(--grid); border-radius: 6px; font-size: .85rem; overflow-x: auto; padding: .75rem; }
"""
BODY = """<h1>Litmus API {version}</h1>
<p>The same as <a href="openapi.json">openapi.json</a>. Try it on <a href="ui">the page of the service</a>.</p>
{parts}
<h2>Other responses</h2>
<p>They are JSON with the fields <code>error</code> and <code>error_type</code>.</p>
<table><thead><tr><th>status</th><th>meaning</th></tr></thead><tbody>{failures}</tbody></table>
"""
