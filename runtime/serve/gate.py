"""What every request passes: its id, its key, whether the service shuts down, the log and the metrics."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .errors import HttpError, http_error
from .http import Exchange, Receive, Scope, Send, header, send_error
from .metrics import Metrics
from .settings import Access

App = Callable[[Scope, Receive, Send], Awaitable[None]]
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
OPEN = ("/health", "/ping", "/ui", "/docs", "/openapi.json", "/v2/health")  # without a key: no data passes there
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]
REASONS = {
    401: "key",
    403: "host",
    413: "size",
    415: "type",
    429: "overload",
    431: "size",
    503: "drain",
    504: "timeout",
}
CLIENT_GONE = 499
SHUTTING_DOWN = "the service is shutting down; try another one"
MOST_HEADERS = 128


class Gate:
    """Wraps the routes."""

    def __init__(self, app: App, access: Access, metrics: Metrics, log: Any) -> None:
        """Takes the routes, and what they are protected and observed with."""
        self._app = app
        self.access = access
        self._metrics = metrics
        self._log = log
        self.draining = False
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(_request_id(scope))
        scope["exchange"] = exchange
        status = 0

        async def send_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *SECURITY,
                    (b"x-request-id", exchange.request_id.encode()),
                    *exchange.headers,
                    *([(b"connection", b"close")] if self.draining else []),
                ]
            await send(message)

        self.active += 1
        reason = None
        try:
            self._check(scope)
            await self._app(scope, receive, send_headers)
        except asyncio.CancelledError:
            if status:
                raise
            if self.draining:  # if the client has left, nothing is sent
                await send_error(send_headers, HttpError(503, "Unhealthy", SHUTTING_DOWN, retry_after_s=1))
            else:
                status = CLIENT_GONE
                raise
        except Exception as error:
            response = http_error(error)
            if response.status == 500:
                reason = type(error).__name__
            if status:  # the response has begun
                raise
            await send_error(send_headers, response)
        finally:
            self.active -= 1
            # After the response is written, which the event loop does once this task is done.
            asyncio.get_running_loop().call_soon(
                self._note, scope, exchange, status, time.perf_counter() - exchange.started, reason
            )

    def _check(self, scope: Scope) -> None:
        """Rejects a request that may not pass."""
        path = scope["path"]
        if len(scope["headers"]) > MOST_HEADERS:
            raise HttpError(431, "Validation", f"expected at most {MOST_HEADERS} headers", closes=True)
        hosts = self.access.hosts
        if hosts is not None and _host(header(scope, b"host")) not in hosts:
            raise HttpError(403, "Validation", "the Host header is not one of this service; see --allow-host")
        if path.startswith(OPEN):
            return
        origin = header(scope, b"origin")  # browsers send it with every POST
        is_foreign = bool(origin) and origin.partition(b"://")[2] != header(scope, b"host")
        if hosts is not None and is_foreign and scope["method"] == "POST":
            raise HttpError(403, "Validation", "a page of another site sent the request; only the service's own may")
        if self.draining:
            raise HttpError(503, "Unhealthy", SHUTTING_DOWN, retry_after_s=1)
        if self.access.key_hashes and not self._is_key(_key(scope)):
            scope["exchange"].headers.append((b"www-authenticate", b"Bearer"))
            raise HttpError(401, "Validation", "expected a valid key in the header Authorization: Bearer or X-API-Key")

    def _is_key(self, key: bytes) -> bool:
        """Compares a key with every accepted one, so that the time says nothing about which is close."""
        digest = hashlib.sha256(key).digest()
        matches = [hmac.compare_digest(digest, accepted) for accepted in self.access.key_hashes]
        return any(matches)

    def _note(self, scope: Scope, exchange: Exchange, status: int, seconds: float, reason: str | None) -> None:
        """Logs and counts a request."""
        self._metrics.request(exchange, status, seconds)
        if status in REASONS:
            self._metrics.rejected(REASONS[status])
        fields = {"error": reason} if reason else {}
        self._log.info(
            "request",
            id=exchange.request_id,
            method=scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other",
            route=exchange.route,
            status=status,
            ms=round(1000 * seconds, 3),
            texts=exchange.texts,
            tokens=exchange.timing.tokens,
            truncated=sum([prediction.truncated for prediction in exchange.predictions]),
            **fields,
        )


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _key(scope: Scope) -> bytes:
    scheme, _, credentials = header(scope, b"authorization").partition(b" ")
    return credentials.strip() if scheme.lower() == b"bearer" else header(scope, b"x-api-key")


def _host(value: bytes) -> str:
    """Returns the name of a Host header without its port."""
    name = value.decode("latin-1").lower()
    if name.startswith("["):
        return name.partition("]")[0][1:]
    return name.partition(":")[0]
