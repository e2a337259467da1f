"""What the routes share: the model, the limits, the metrics, and one way to classify the texts of a request."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from ..decision.policy import CallOptions
from ..decision.prediction import Prediction
from ..errors import TextError
from ..scheduling.call import Timing
from .errors import HttpError
from .http import Exchange, Scope, header
from .model import Model, ModelSlot
from .settings import Limits

MILLISECONDS = re.compile(rb"\d{1,9}")


@dataclass(frozen=True)
class Classified:
    """The texts of a request, classified.

    Attributes:
        predictions: In the order of the texts.
        timing: Where the time went.
        model: The model that classified them.
    """

    predictions: list[Prediction]
    timing: Timing
    model: Model


@dataclass(frozen=True)
class Service:
    """What the routes need.

    Attributes:
        slot: The model.
        limits: What a request may ask for.
        name: The model's name in responses.
        echo_input: Whether responses may repeat the texts.
    """

    slot: ModelSlot
    limits: Limits
    name: str
    echo_input: bool = False

    async def classify(self, scope: Scope, texts: Sequence[str], **options: Unpack[CallOptions]) -> Classified:
        """Classifies the texts of a request.

        Raises:
            HttpError: There are no texts, or too many, or a header is wrong.
            LitmusError: A text or an option is wrong, too many requests wait, or the time is over.
        """
        exchange: Exchange = scope["exchange"]
        exchange.texts = len(texts)
        if not texts:
            raise HttpError(422, "Empty", "expected one text or more")
        if len(texts) > self.limits.max_texts:
            raise HttpError(422, "Validation", f"expected at most {self.limits.max_texts} texts, found {len(texts)}")
        timeout_s = self.timeout_s(scope)
        with self.slot.use() as model:
            found = await model.queue.run(texts, timeout_s=timeout_s, **options)
        predictions = []
        for result in found.results:
            if isinstance(result, TextError):
                raise result
            predictions.append(result)
        exchange.predictions, exchange.timing = predictions, found.timing
        return Classified(predictions, found.timing, model)

    def timeout_s(self, scope: Scope) -> float:
        """Returns the time that a request has, in seconds: the service's limit, or less if its header asks for less.

        Raises:
            HttpError: The header is not a number.
        """
        value = header(scope, b"x-request-timeout-ms")
        if not value:
            return self.limits.timeout_s
        if not MILLISECONDS.fullmatch(value):
            raise HttpError(422, "Validation", "X-Request-Timeout-Ms: expected a whole number of milliseconds")
        return min(self.limits.timeout_s, int(value) / 1000)
