"""`POST /classify` and `/v1/classify`, as vLLM and SGLang serve them."""

import time

import msgspec

from ..errors import HttpError
from ..http import JsonDecoder, Receive, Scope, Send, read_body, send_json
from ..service import Service


class ClassifyBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /classify`."""

    input: str | list[str]
    model: str | None = None
    user: str | None = None


class ClassifyData(msgspec.Struct):
    """The response for one text; `label` is the one with the highest score."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class Usage(msgspec.Struct):
    """The number of tokens."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class ClassifyResponse(msgspec.Struct):
    """The response of `POST /classify`."""

    id: str
    object: str
    created: int
    model: str
    data: list[ClassifyData]
    usage: Usage


decode = JsonDecoder(ClassifyBody)


class ClassifyRoute:
    """Handles `POST /classify`."""

    def __init__(self, service: Service) -> None:
        """Takes what the routes share."""
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        exchange = scope["exchange"]
        exchange.route = "/classify"
        body = decode(await read_body(scope, receive, self._service.limits.max_body_bytes))
        if body.model not in (None, self._service.name):
            raise HttpError(404, "Validation", f"there is no such model; this service has {self._service.name}")
        texts = [body.input] if isinstance(body.input, str) else body.input
        classified = await self._service.classify(scope, texts)
        labels = classified.model.classifier.labels
        data = []
        for index, prediction in enumerate(classified.predictions):
            probs = [prediction.scores[label] for label in labels]
            data.append(ClassifyData(index, labels[probs.index(max(probs))], probs, len(labels)))
        tokens = classified.timing.tokens
        name = self._service.name
        response = ClassifyResponse(
            f"classify-{exchange.request_id}", "list", int(time.time()), name, data, Usage(tokens, tokens)
        )
        await send_json(send, 200, response)
