"""A classifier for `asyncio`: calls that wait at the same time run as common batches, in a thread of their own."""

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self, Unpack

import numpy as np
import numpy.typing as npt

from .classifier import Classifier, Result
from .decision.explanation import Explanation
from .decision.policy import CallOptions, Policy, prediction
from .decision.prediction import Prediction
from .errors import DeadlineError, InferenceError, TextError
from .scheduling.call import Call, Output, Timing
from .scheduling.queue import LATE, OnBatch
from .text.tokenizer import Encoded, require_many

SHORT_TOKENS = 128  # a call of at most so many tokens may run in the event loop, which it blocks for some milliseconds


class CallResult(NamedTuple):
    """The results of a call and what it took.

    Attributes:
        results: For each text its prediction or its error.
        timing: Where the time went.
    """

    results: list[Result]
    timing: Timing


class AsyncClassifier:
    """Serves the calls of one event loop with one classifier.

    A call that finds the classifier idle runs at once. Calls that arrive while it runs form the next batch, so that
    many callers get the throughput of `predict_many`. The logits of the int8 variant do not depend on the other texts
    of a batch; those of other variants may differ in the last digits.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        max_waiting_tokens: int | None = None,
        max_wait_s: float | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        """Starts the thread that runs the batches.

        Args:
            classifier: The classifier. It may be used elsewhere, too; it is not closed with this one.
            max_waiting_tokens: Maximum number of tokens that wait; None for no limit.
            max_wait_s: Maximum time that a call is expected to wait for others, in seconds; None for no limit.
            on_batch: Called in that thread after each batch, with its number of texts, its number of tokens, padding
                included, and the seconds that it took.
        """
        self.classifier = classifier
        self._calls = 0  # that are not done
        self._queue = classifier.new_queue(
            max_waiting_tokens=max_waiting_tokens, max_wait_s=max_wait_s, on_batch=on_batch
        )

    async def predict(self, text: str, *, timeout_s: float | None = None, **options: Unpack[CallOptions]) -> Prediction:
        """Classifies one text.

        Args:
            text: The text.
            timeout_s: Time after which `DeadlineError` is raised, in seconds; None to wait as long as it takes.
            **options: As for `Classifier.predict`.

        Raises:
            TextError: As `Classifier.predict`.
            SettingError: As `Classifier.predict`.
            OverloadError: Too many texts are waiting.
            DeadlineError: The call was not complete in time.
            InferenceError: As `Classifier.predict`, or the classifier is closed.
        """
        (result,) = (await self.run([text], timeout_s=timeout_s, **options)).results
        if isinstance(result, TextError):
            raise result
        return result

    async def predict_many(
        self, texts: Iterable[str], *, timeout_s: float | None = None, **options: Unpack[CallOptions]
    ) -> list[Prediction]:
        """Classifies texts; arguments and errors are those of `predict`.

        Returns:
            One prediction per text, in the order of the texts.

        Raises:
            TextError: A text cannot be classified; the message has its position.
        """
        require_many(texts)
        found = await self.run(list(texts), timeout_s=timeout_s, **options)
        for result in found.results:
            if isinstance(result, TextError):
                raise result
        return [result for result in found.results if isinstance(result, Prediction)]

    async def run(
        self, texts: Sequence[str], *, timeout_s: float | None = None, **options: Unpack[CallOptions]
    ) -> CallResult:
        """Classifies texts, with an error in the place of each that cannot be classified.

        Arguments and other errors are those of `predict`.

        Returns:
            The results, in the order of the texts, and where the time went.
        """
        policy = self.classifier.call_policy(options)
        if timeout_s is not None and timeout_s <= 0:
            raise DeadlineError(LATE)
        if not texts:
            return CallResult([], Timing(0, 0, 0, 0))
        self._calls += 1
        try:
            if self._calls == 1 and len(texts) == 1 and policy.aggregation is None:
                await asyncio.sleep(0)  # calls that arrived together with this one run as a batch
                if self._calls == 1 and (found := self._alone(texts[0], policy)) is not None:
                    return found
            return await self._queued(texts, policy, timeout_s)
        finally:
            self._calls -= 1

    async def explain(self, text: str, label: str | None = None) -> Explanation:
        """As `Classifier.explain`; its many runs share the session fairly with other calls.

        Raises:
            OverloadError: Too many texts are waiting.
        """
        left = threading.Event()

        def run(encoded: Sequence[Encoded]) -> npt.NDArray[np.float32]:
            if left.is_set():
                raise InferenceError("the call was cancelled")
            return self._run_encoded(encoded)

        try:
            return await asyncio.to_thread(self.classifier.explain, text, label, run=run)
        finally:
            left.set()

    @property
    def waiting_tokens(self) -> int:
        """Number of tokens that wait or run, in part estimated."""
        return self._queue.waiting_tokens

    @property
    def oldest_s(self) -> float:
        """Age of the oldest call that is not done, in seconds; 0 if there is none."""
        return self._queue.oldest_s

    async def aclose(self) -> None:
        """Rejects further calls and returns when those that wait are done."""
        await asyncio.to_thread(self._queue.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()

    def _alone(self, text: str, policy: Policy) -> CallResult | None:
        """Runs a call of one text in the event loop, if the queue is idle and the text is short."""
        try:
            ran = self._queue.run_alone(text, SHORT_TOKENS)
        except TextError as error:
            return CallResult([error], Timing(0, 0, 0, 0))
        return None if ran is None else CallResult([_result(ran[0], policy)], ran[1])

    async def _queued(self, texts: Sequence[str], policy: Policy, timeout_s: float | None) -> CallResult:
        """Runs a call in the queue's thread."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end(_: Call) -> None:
            loop.call_soon_threadsafe(_resolve, ended)

        call = Call(
            texts,
            end,
            windows=policy.aggregation is not None,
            deadline=None if timeout_s is None else time.monotonic() + timeout_s,
        )
        self._queue.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                await ended
        except TimeoutError:
            call.cancel()
            raise DeadlineError(LATE) from None
        except asyncio.CancelledError:
            call.cancel()
            raise
        if call.error is not None:
            raise call.error
        return CallResult([_result(output, policy) for output in call.outputs], call.timing())

    def _run_encoded(self, encoded: Sequence[Encoded]) -> npt.NDArray[np.float32]:
        """Runs tokenized texts in the queue and waits for their logits."""
        finished = threading.Event()
        call = Call(encoded, lambda _: finished.set())
        self._queue.submit(call)
        finished.wait()
        if call.error is not None:
            raise call.error
        return np.array([output.logits[0] for output in call.outputs if isinstance(output, Output)], np.float32)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _result(output: Output | TextError, policy: Policy) -> Result:
    return output if isinstance(output, TextError) else prediction(output.logits, output.windows, policy)
