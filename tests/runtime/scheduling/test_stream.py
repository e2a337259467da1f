"""Streams: bounded memory, the order of the texts, and errors in their place."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Classifier, Prediction, TextError, TextTypeError, load
from runtime.scheduling import batching, streaming
from runtime.scheduling.background import BackgroundTask


def test_stream_equals_many(classifier: Classifier) -> None:
    """A stream gives the predictions of `predict_many`, in order, over several chunks."""
    texts = [" ".join(["late"] * (1 + index * 7 % 45)) for index in range(700)]
    found = [prediction.n_tokens for prediction in classifier.predict_iter(texts)]
    assert found == [3 + index * 7 % 45 for index in range(700)]
    assert found == [prediction.n_tokens for prediction in classifier.predict_many(texts)]


def test_endless_stream(classifier: Classifier) -> None:
    """A stream reads 192 texts before the first prediction and no more than two chunks ahead later."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "late"

    stream = classifier.predict_iter(endless())
    assert taken == 0
    next(stream)
    assert taken == 192
    for _ in range(20_000):
        next(stream)
    assert taken <= 20_001 + 2 * streaming.LAST_CHUNK


def test_chunks_are_limited_in_characters(classifier: Classifier) -> None:
    """A chunk is limited in characters as well as in texts."""
    taken: list[int] = []

    def long() -> Iterator[str]:
        for index in range(12):
            taken.append(index)
            yield "late " * 100_000

    stream = classifier.predict_iter(long())
    assert next(stream).truncated
    assert len(taken) <= 6
    assert len(list(stream)) == 11


def test_errors_in_their_place(classifier: Classifier) -> None:
    """With `return_errors`, the error of a text takes its place and has its position in the stream."""
    texts = ["late", "", "late", None, "\u200b"] * 50
    found = list(classifier.predict_iter(texts, return_errors=True))  # type: ignore[arg-type]
    for index, item in enumerate(found):
        if index % 5 in (0, 2):
            assert isinstance(item, Prediction)
        else:
            assert isinstance(item, TextError)
            assert isinstance(item, TextTypeError) == (index % 5 == 3)
            assert item.position == index


def test_error_ends_the_stream(classifier: Classifier) -> None:
    """Without `return_errors`, the first bad text ends the stream and is raised with its position."""
    stream = classifier.predict_iter(["late"] * 300 + [" "] + ["late"] * 300)
    with pytest.raises(TextError) as caught:
        list(stream)
    assert caught.value.position == 300


def test_empty_stream(classifier: Classifier) -> None:
    """A stream without texts gives no predictions."""
    assert list(classifier.predict_iter([])) == []


def test_bare_string(classifier: Classifier) -> None:
    """A single `str` instead of a stream raises TypeError at once."""
    with pytest.raises(TypeError, match="use predict"):
        classifier.predict_iter("late")


def test_error_of_the_source(classifier: Classifier) -> None:
    """An error of the source iterable is raised in the caller's thread."""

    def broken() -> Iterator[str]:
        yield "late"
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(classifier.predict_iter(broken()))


def test_abandoned_stream(artifact: Path) -> None:
    """A stream that is dropped half-read does not keep the classifier from predicting or closing."""
    classifier = load(artifact, provider="cpu")
    stream = classifier.predict_iter("late" for _ in range(1000))
    next(stream)
    del stream
    assert classifier.predict("late").label
    classifier.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_batches_are_bounded(lengths: list[int], most: int) -> None:
    """Each text is in exactly one batch, and only a single text may exceed the token limit."""
    found = list(batching.batches(lengths, most))
    assert sorted(position for batch in found for position in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= most


@pytest.mark.parametrize("kind", ["\u200b", "\u200b ", "\0", "\u0301", "\ud800"])
def test_long_text_without_visible_characters(classifier: Classifier, kind: str) -> None:
    """A long text without visible characters is an error in its place or a prediction; the others are unaffected."""
    found = list(classifier.predict_iter(["late", kind * 10_000, "late"], return_errors=True))
    assert found[0] == found[2]
    assert isinstance(found[0], Prediction)
    if isinstance(found[1], TextError):
        assert found[1].position == 1


def test_texts_before_an_error_of_the_source(classifier: Classifier) -> None:
    """The texts before an error of the source get their predictions before it is raised."""

    def source(count: int) -> Iterator[str]:
        yield from ["late"] * count
        raise ConnectionError("gone")

    for count in 1, 64, 100, 1000:
        stream = classifier.predict_iter(source(count))
        assert len([next(stream) for _ in range(count)]) == count
        with pytest.raises(ConnectionError):
            next(stream)


@pytest.mark.parametrize("texts", [None, 3])
def test_not_iterable(classifier: Classifier, texts: Any) -> None:
    """An argument that is not iterable raises TextTypeError at once."""
    with pytest.raises(TextTypeError, match="expected several texts"):
        classifier.predict_iter(texts)


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A background task runs in the caller's thread if no thread can be started."""

    def fail(self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", fail)
    assert BackgroundTask(lambda: 3).result() == 3


def test_fork_during_a_background_task(artifact: Path) -> None:
    """A child that was forked during a background task gets an InferenceError instead of waiting forever."""
    code = (
        "import os, time, runtime\n"
        "from runtime.scheduling.background import BackgroundTask\n"
        "task = BackgroundTask(lambda: time.sleep(1))\n"
        "if not (child := os.fork()):\n"
        "    try: task.result()\n"
        "    except runtime.InferenceError as error: print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "the classifier was loaded before this process was forked; load it in every process\n"


def test_task_raises_the_error_of_its_function() -> None:
    """`result` raises the error of the function in the thread that waits."""

    def fail() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        BackgroundTask(fail).result()
    assert BackgroundTask(lambda: 3).result() == 3
