"""`POST /predict`: the service's own form, and that of Text Embeddings Inference (TEI), told apart by their fields."""

from typing import Any, Literal

import msgspec

from ...decision.policy import CallOptions
from ...decision.prediction import Prediction
from ..errors import HttpError
from ..http import JsonDecoder, Receive, Scope, Send, read_body, send_json
from ..service import Classified, Service


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /predict`: one of `text`, `texts` and `inputs`, the last with TEI's options."""

    text: str | None = None
    texts: list[str] | None = None
    top_k: int | None = None
    thresholds: float | dict[str, float] | None = None
    windows: bool | Literal["max", "mean"] = False
    inputs: str | list[str | list[str]] | None = None
    raw_scores: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    parameters: dict[str, Any] | None = None


class OwnResponse(msgspec.Struct, omit_defaults=True):
    """The response for one text.

    Attributes:
        proba: Score by short label name.
        labels_short: Short names of the assigned labels, best first.
        labels: Their full names.
        abstained: Single-label: no score reached the threshold.
        truncated: The text was longer than the model reads.
        input: The text, only if the service was started with `--echo-input`.
    """

    proba: dict[str, float]
    labels_short: list[str]
    labels: list[str]
    abstained: bool
    truncated: bool
    input: str | None = None


class TeiScore(msgspec.Struct):
    """A score of TEI's response."""

    score: float
    label: str


decode = JsonDecoder(PredictBody)


class PredictRoute:
    """Handles `POST /predict`."""

    def __init__(self, service: Service) -> None:
        """Takes what the routes share."""
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        scope["exchange"].route = "/predict"
        body = decode(await read_body(scope, receive, self._service.limits.max_body_bytes))
        given = [name for name in ("text", "texts", "inputs") if getattr(body, name) is not None]
        if len(given) != 1:
            raise HttpError(422, "Validation", "expected exactly one of the fields text, texts and inputs")
        if body.inputs is not None:
            await self._tei(body, body.inputs, scope, send)
        else:
            await self._own(body, [body.text] if body.text is not None else body.texts or [], scope, send)

    async def _own(self, body: PredictBody, texts: list[str], scope: Scope, send: Send) -> None:
        options = CallOptions(top_k=body.top_k, thresholds=body.thresholds, windows=body.windows)
        if options == {"top_k": None, "thresholds": None, "windows": False}:
            options = CallOptions()
        classified = await self._service.classify(scope, texts, **options)
        short = classified.model.short_names
        responses = [
            OwnResponse(
                {short[label]: score for label, score in prediction.scores.items()},
                [short[label] for label in prediction.labels],
                list(prediction.labels),
                prediction.abstained,
                prediction.truncated,
                text if self._service.echo_input else None,
            )
            for text, prediction in zip(texts, classified.predictions, strict=True)
        ]
        await send_json(send, 200, responses)

    async def _tei(self, body: PredictBody, inputs: str | list[str | list[str]], scope: Scope, send: Send) -> None:
        if body.truncation_direction.lower() == "left":
            raise HttpError(
                422, "Validation", "`truncation_direction` left is not supported; texts are truncated right"
            )
        if body.parameters:
            raise HttpError(422, "Validation", "`parameters` are not supported; use raw_scores and truncate")
        texts, is_batch = tei_texts(inputs)
        classified = await self._service.classify(scope, texts, with_logits=body.raw_scores)
        if body.truncate is False and any(prediction.truncated for prediction in classified.predictions):
            most = classified.model.classifier.manifest.max_length
            raise HttpError(422, "Validation", f"`inputs` must have at most {most} tokens, or `truncate` must be true")
        rows = [tei_scores(prediction, classified, raw=body.raw_scores) for prediction in classified.predictions]
        scope["exchange"].headers += tei_headers(classified, texts)
        await send_json(send, 200, rows if is_batch else rows[0])


def tei_texts(inputs: str | list[str | list[str]]) -> tuple[list[str], bool]:
    """Returns the texts of TEI's `inputs`, and whether they are a batch.

    Raises:
        HttpError: They contain pairs of texts: in TEI, a list of two strings is a pair, not a batch.
    """
    pair = 'pairs of texts are not supported; send a batch as a list of lists, [["a"], ["b"]]'
    if isinstance(inputs, str):
        return [inputs], False
    if all(isinstance(item, str) for item in inputs):
        if len(inputs) > 1:
            raise HttpError(422, "Validation", f"`inputs`: {pair}")
        return [str(item) for item in inputs], False
    texts = []
    for item in inputs:
        if isinstance(item, list) and len(item) != 1:
            raise HttpError(422, "Validation", f"`inputs`: {pair}")
        texts.append(item if isinstance(item, str) else item[0])
    return texts, True


def tei_scores(prediction: Prediction, classified: Classified, *, raw: bool) -> list[TeiScore]:
    """Returns every label's score, or its logit, best first."""
    values = dict(prediction.scores)
    if raw and prediction.logits is not None:
        values = dict(zip(classified.model.classifier.labels, prediction.logits, strict=True))
    return [TeiScore(score, label) for label, score in sorted(values.items(), key=lambda item: -item[1])]


def tei_headers(classified: Classified, texts: list[str]) -> list[tuple[bytes, bytes]]:
    """Returns TEI's headers; times are in milliseconds."""
    timing = classified.timing
    inference, tokenization, queue = timing.inference_s, timing.tokenize_s, timing.queue_s
    figures = {
        "x-compute-type": classified.model.classifier.provider,
        "x-compute-characters": sum(map(len, texts)),
        "x-compute-tokens": timing.tokens,
        "x-compute-time": round(1000 * (inference + tokenization)),
        "x-total-time": round(1000 * (inference + tokenization + queue)),
        "x-tokenization-time": round(1000 * tokenization),
        "x-queue-time": round(1000 * queue),
        "x-inference-time": round(1000 * inference),
    }
    return [(name.encode(), str(value).encode()) for name, value in figures.items()]
