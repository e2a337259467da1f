"""`AsyncClassifier`: the responses of the classifier, in common batches, for the calls of an event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from runtime import (
    Classifier,
    DeadlineError,
    InferenceError,
    OverloadError,
    SettingError,
    TextError,
    TextTypeError,
    load,
)
from runtime.async_classifier import SHORT_TOKENS, AsyncClassifier

LONG = "late " * 200
Value = TypeVar("Value")


def run(work: Callable[[AsyncClassifier], Awaitable[Value]], classifier: Classifier, **limits: object) -> Value:
    """Runs a coroutine function over an `AsyncClassifier`."""

    async def body() -> Value:
        async with AsyncClassifier(classifier, **limits) as asynchronous:
            return await work(asynchronous)

    return asyncio.run(body())


def test_answers_are_those_of_the_classifier(classifier: Classifier) -> None:
    """One text, several, options, windows and no text at all give what the classifier gives."""

    async def work(asynchronous: AsyncClassifier) -> list[object]:
        return [
            await asynchronous.predict("late"),
            await asynchronous.predict("late", top_k=1, with_logits=True),
            await asynchronous.predict(LONG, windows=True),
            await asynchronous.predict_many(["late"]),
            await asynchronous.predict_many([]),
        ]

    assert run(work, classifier) == [
        classifier.predict("late"),
        classifier.predict("late", top_k=1, with_logits=True),
        classifier.predict(LONG, windows=True),
        classifier.predict_many(["late"]),
        [],
    ]


def test_batches_do_not_change_int8_answers(int8_artifact: Path) -> None:
    """Concurrent calls run in common batches, and each gets what it would get alone."""
    texts = ["late " * (1 + number % 23) + "train" for number in range(80)]
    batches: list[int] = []
    with load(int8_artifact, provider="cpu", threads=1) as classifier:

        async def work(asynchronous: AsyncClassifier) -> list[object]:
            return list(await asyncio.gather(*[asynchronous.predict(text) for text in texts]))

        found = run(work, classifier, on_batch=lambda rows, *_: batches.append(rows))
        assert found == [classifier.predict(text) for text in texts]
    assert sum(batches) == len(texts)
    assert max(batches) > 1


def test_lone_short_text_runs_in_the_event_loop(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone short text does not pass through the queue's thread; a long one and several do."""
    queued: list[int] = []

    async def work(asynchronous: AsyncClassifier) -> None:
        submit = asynchronous._queue.submit
        monkeypatch.setattr(asynchronous._queue, "submit", lambda call: (queued.append(len(call.texts)), submit(call)))
        await asynchronous.predict("late")
        assert queued == []
        await asynchronous.predict("late " * SHORT_TOKENS)
        await asynchronous.predict_many(["late", "late"])

    run(work, classifier)
    assert queued == [1, 2]


def test_errors_of_texts(classifier: Classifier) -> None:
    """A text that cannot be classified is an error of `predict`, and keeps its place in `run`."""

    async def work(asynchronous: AsyncClassifier) -> list[object]:
        for text, kind in (("", TextError), (" " * 900, TextError), (None, TextTypeError)):
            with pytest.raises(kind, match="text 0: "):
                await asynchronous.predict(text)
        with pytest.raises(TextError, match="text 1: "):
            await asynchronous.predict_many(["late", ""])
        with pytest.raises(SettingError):
            await asynchronous.predict("late", top_k=0)
        return (await asynchronous.run(["late", "", "train"])).results

    first, error, last = run(work, classifier)
    assert [first, last] == classifier.predict_many(["late", "train"])
    assert isinstance(error, TextError)
    assert error.position == 1


def test_overload(classifier: Classifier) -> None:
    """Calls beyond the limit are rejected at once; the others are handled."""

    async def work(asynchronous: AsyncClassifier) -> list[object]:
        calls = [asynchronous.predict(LONG) for _ in range(50)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    found = run(work, classifier, max_waiting_tokens=300)
    rejected = [item for item in found if isinstance(item, OverloadError)]
    assert 0 < len(rejected) < len(found)
    assert [item for item in found if item not in rejected] == [classifier.predict(LONG)] * (50 - len(rejected))


def test_deadline(classifier: Classifier) -> None:
    """A call that is not complete in time fails."""

    async def work(asynchronous: AsyncClassifier) -> None:
        with pytest.raises(DeadlineError, match="not classified in time"):
            await asynchronous.predict_many([LONG] * 500, timeout_s=0.001)
        await asynchronous.predict("late", timeout_s=20)

    run(work, classifier)


def test_cancelled_call_is_not_computed(classifier: Classifier) -> None:
    """Cancelling an `await` removes what has not run from the queue."""
    rows: list[int] = []

    async def work(asynchronous: AsyncClassifier) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asynchronous.predict_many([LONG] * 5000), 0.05)
        await asynchronous.predict("late")
        assert asynchronous.waiting_tokens == 0
        assert asynchronous.oldest_s == 0

    run(work, classifier, on_batch=lambda texts, *_: rows.append(texts))
    assert sum(rows) < 4000


def test_explanation(classifier: Classifier) -> None:
    """Words contribute what `Classifier.explain` says, although their runs pass through the queue."""
    text = "late train was late"

    async def work(asynchronous: AsyncClassifier) -> object:
        found, _ = await asyncio.gather(asynchronous.explain(text), asynchronous.predict_many([text] * 20))
        with pytest.raises(SettingError):
            await asynchronous.explain(text, "no label")
        return found

    found, expected = run(work, classifier), classifier.explain(text)
    assert (found.label, found.truncated) == (expected.label, expected.truncated)
    assert [word.contribution for word in found.words] == [
        pytest.approx(word.contribution, abs=1e-4) for word in expected.words
    ]


def test_closed(classifier: Classifier) -> None:
    """After closing, a call fails; the classifier itself stays open."""

    async def work() -> None:
        asynchronous = AsyncClassifier(classifier)
        await asynchronous.aclose()
        with pytest.raises(InferenceError, match="closed"):
            await asynchronous.predict("late")

    asyncio.run(work())
    assert classifier.predict("late")
