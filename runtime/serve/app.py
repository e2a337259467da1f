"""Puts the routes together."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import Route, Router

from .gate import App, Gate
from .http import Receive, Scope, Send
from .metrics import Metrics
from .routes.about import AboutRoutes
from .routes.classify import ClassifyRoute
from .routes.explain import ExplainRoute
from .routes.oip import OipRoutes
from .routes.openapi import OpenApiRoutes
from .routes.predict import PredictRoute
from .routes.ui import UiRoute
from .service import Service
from .settings import Access


class Endpoint:
    """An ASGI application of a method; Starlette would call a bare method with a request object."""

    def __init__(self, handler: App) -> None:
        """Takes the method."""
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        await self._handler(scope, receive, send)


class Page:
    """An ASGI application of a method that reads no body."""

    def __init__(self, handler: Callable[[Scope, Send], Awaitable[None]]) -> None:
        """Takes the method."""
        self._handler = handler

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Handles a request."""
        await self._handler(scope, send)


class Routes:
    """The router; what it cannot find is an error that it raises, not a response in plain text."""

    def __init__(self) -> None:
        """Starts without routes."""
        self.router = Router(redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        scope["app"] = self
        await self.router(scope, receive, send)


def build_app(service: Service, access: Access, metrics: Metrics, log: Any) -> Gate:
    """Returns the service as an ASGI application."""
    routes = Routes()
    gate = Gate(routes, access, metrics, log)
    about = AboutRoutes(service, metrics, lambda: not gate.draining)
    oip = OipRoutes(service, gate)

    def post(path: str, handler: App) -> Route:
        return Route(path, Endpoint(handler), methods=["POST"])

    def get(path: str, handler: Callable[[Scope, Send], Awaitable[None]]) -> Route:
        return Route(path, Page(handler), methods=["GET"])

    classify = ClassifyRoute(service)
    description, ui = OpenApiRoutes(service.name), UiRoute()
    routes.router.routes += [  # the paths that are used most come first
        post("/predict", PredictRoute(service)),
        post("/classify", classify),
        post("/v1/classify", classify),
        post("/v2/models/{name}/infer", oip.infer),
        post("/v2/models/{name}/versions/{version}/infer", oip.infer),
        get("/health", about.ready),
        get("/health/ready", about.ready),
        get("/health/live", about.live),
        get("/ping", about.ready),
        get("/metrics", about.metrics),
        post("/explain", ExplainRoute(service)),
        get("/", about.root),
        get("/info", about.info),
        get("/ui", ui.page),
        get("/docs", description.docs),
        get("/openapi.json", description.document),
        get("/v1/models", about.models),
        get("/v2", oip.server),
        get("/v2/health/live", oip.live),
        get("/v2/health/ready", oip.ready),
        get("/v2/models", oip.models),
        get("/v2/models/{name}", oip.model),
        get("/v2/models/{name}/ready", oip.model_ready),
        get("/v2/models/{name}/versions/{version}", oip.model),
        get("/v2/models/{name}/versions/{version}/ready", oip.model_ready),
    ]
    return gate
