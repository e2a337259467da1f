"""What the service tells about itself: `/`, health, TEI's `/info` and `/metrics`."""

from collections.abc import Callable

from ...version import __version__
from ..http import Scope, Send, send_bytes, send_json
from ..metrics import CONTENT_TYPE, Metrics
from ..service import Service


class AboutRoutes:
    """Handles the routes that need no text."""

    def __init__(self, service: Service, metrics: Metrics, is_ready: Callable[[], bool]) -> None:
        """Takes what the routes share, and whether the service takes requests."""
        self._service = service
        self._metrics = metrics
        self._is_ready = is_ready

    async def root(self, scope: Scope, send: Send) -> None:
        """`GET /`: name, version, model and labels."""
        scope["exchange"].route = "/"
        model = self._service.slot.model
        manifest = model.classifier.manifest
        response = {
            "name": "litmus",
            "version": __version__,
            "model": self._service.name,
            "model_sha256": model.sha256,
            "task": manifest.task,
            "labels": list(manifest.labels),
            "labels_short": list(model.short_names.values()),
            "thresholds": manifest.thresholds,
            "abstain_below": manifest.abstain_below,
            "max_length": manifest.max_length,
        }
        await send_json(send, 200, response)

    async def live(self, scope: Scope, send: Send) -> None:
        """`GET /health/live`: 200 while the process runs."""
        scope["exchange"].route = "/health/live"
        await send_json(send, 200, {"status": "ok"})

    async def ready(self, scope: Scope, send: Send) -> None:
        """`GET /health`, `/health/ready` and `/ping`: 200 while requests are taken, 503 during the shutdown."""
        scope["exchange"].route = "/health/ready"
        if self._is_ready():
            await send_json(send, 200, {"status": "ok"})
        else:
            await send_json(send, 503, {"status": "shutting down"})

    async def info(self, scope: Scope, send: Send) -> None:
        """`GET /info`, in the form of Text Embeddings Inference."""
        scope["exchange"].route = "/info"
        model, limits = self._service.slot.model, self._service.limits
        labels = model.classifier.labels
        response = {
            "model_id": self._service.name,
            "model_sha": model.sha256,
            "model_dtype": model.classifier.variant,
            "served_model_name": self._service.name,
            "model_type": {
                "classifier": {
                    "id2label": {str(index): label for index, label in enumerate(labels)},
                    "label2id": {label: index for index, label in enumerate(labels)},
                }
            },
            "max_concurrent_requests": limits.max_waiting_tokens,  # in tokens: requests themselves are not limited
            "max_input_length": model.classifier.manifest.max_length,
            "max_batch_tokens": model.classifier.info()["batch_tokens"],
            "max_batch_requests": None,
            "max_client_batch_size": limits.max_texts,
            "auto_truncate": True,
            "tokenization_workers": 1,
            "version": __version__,
            "sha": None,
            "docker_label": None,
        }
        await send_json(send, 200, response)

    async def models(self, scope: Scope, send: Send) -> None:
        """`GET /v1/models`, in the form of OpenAI-compatible servers."""
        scope["exchange"].route = "/v1/models"
        model = {"id": self._service.name, "object": "model", "created": 0, "owned_by": "litmus"}
        await send_json(send, 200, {"object": "list", "data": [model]})

    async def metrics(self, scope: Scope, send: Send) -> None:
        """`GET /metrics`, in the text format of Prometheus."""
        scope["exchange"].route = "/metrics"
        await send_bytes(send, 200, self._metrics.page(self._service.slot), CONTENT_TYPE)
