"""`POST /explain`: what each word contributes to a label's score."""

import asyncio

import msgspec

from ...decision.explanation import Explanation
from ..errors import HttpError
from ..http import JsonDecoder, Receive, Scope, Send, read_body, send_json
from ..service import Service


class ExplainBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /explain`; without `label` the one with the highest score is explained."""

    text: str
    label: str | None = None


class ExplainedWord(msgspec.Struct):
    """A word: where it is in the text, counted in Unicode code points, and what it contributes."""

    start: int
    end: int
    contribution: float


class ExplainResponse(msgspec.Struct):
    """The response of `POST /explain`; it does not repeat the text."""

    label: str
    score: float
    truncated: bool
    words: list[ExplainedWord]


decode = JsonDecoder(ExplainBody)
MOST_AT_ONCE = 4  # an explanation runs the model once per word, so a few keep it busy


class ExplainRoute:
    """Handles `POST /explain`."""

    def __init__(self, service: Service) -> None:
        """Takes what the routes share."""
        self._service = service
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        exchange = scope["exchange"]
        exchange.route, exchange.texts = "/explain", 1
        body = decode(await read_body(scope, receive, self._service.limits.max_body_bytes))
        if self._running >= MOST_AT_ONCE:
            raise HttpError(429, "Overloaded", "too many explanations are being computed; try again", retry_after_s=1)
        self._running += 1
        try:
            async with asyncio.timeout(self._service.timeout_s(scope)):
                found = await self._explain(body)
        except TimeoutError:
            raise HttpError(
                504, "Timeout", "the explanation was not complete in time; explain a shorter text"
            ) from None
        finally:
            self._running -= 1
        words = [ExplainedWord(word.start, word.end, word.contribution) for word in found.words]
        await send_json(send, 200, ExplainResponse(found.label, found.score, found.truncated, words))

    async def _explain(self, body: ExplainBody) -> Explanation:
        with self._service.slot.use() as model:
            if body.label not in (None, *model.classifier.labels):
                known = ", ".join(model.classifier.labels)
                raise HttpError(422, "Validation", f"unknown label, expected one of {known:.400}")
            return await model.queue.explain(body.text, body.label)
