"""Streams: bounded memory, order kept, nothing lost."""

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
    """In the order of the texts, whatever their lengths, over several chunks."""
    texts = [" ".join(["late"] * (1 + index * 7 % 45)) for index in range(700)]
    found = [prediction.n_tokens for prediction in classifier.predict_iter(texts)]
    assert found == [3 + index * 7 % 45 for index in range(700)]
    assert found == [prediction.n_tokens for prediction in classifier.predict_many(texts)]


def test_stream_never_ends(classifier: Classifier) -> None:
    """It reads no further ahead than it says, and the first answers come after 192 texts."""
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


def test_long_texts_count_more(classifier: Classifier) -> None:
    """A chunk has a bound in characters as well."""
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
    """With `return_errors` a bad text costs only itself, and its error has its position in the stream."""
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
    """Without it the first bad text is raised, with its position in the stream."""
    stream = classifier.predict_iter(["late"] * 300 + [" "] + ["late"] * 300)
    with pytest.raises(TextError) as caught:
        list(stream)
    assert caught.value.position == 300


def test_stream_of_none(classifier: Classifier) -> None:
    """No texts, no predictions."""
    assert list(classifier.predict_iter([])) == []


def test_a_bare_string_is_no_stream(classifier: Classifier) -> None:
    """It is refused at once, not when the first prediction is asked for."""
    with pytest.raises(TypeError, match="use predict"):
        classifier.predict_iter("late")


def test_what_the_source_raises(classifier: Classifier) -> None:
    """Comes through, in the thread that reads."""

    def broken() -> Iterator[str]:
        yield "late"
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(classifier.predict_iter(broken()))


def test_a_stream_left_alone(artifact: Path) -> None:
    """Half read and dropped, it keeps nothing from working or closing."""
    classifier = load(artifact, provider="cpu")
    stream = classifier.predict_iter("late" for _ in range(1000))
    next(stream)
    del stream
    assert classifier.predict("late").label
    classifier.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_batches_are_bounded(lengths: list[int], most: int) -> None:
    """Each text once; no batch above the budget but for a text that is longer itself."""
    found = list(batching.batches(lengths, most))
    assert sorted(position for batch in found for position in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= most


@pytest.mark.parametrize("kind", ["\u200b", "\u200b ", "\0", "\u0301", "\ud800"])
def test_long_text_of_nothing(classifier: Classifier, kind: str) -> None:
    """Is an error in its place, like a short one, or has an answer; it costs the others nothing."""
    found = list(classifier.predict_iter(["late", kind * 10_000, "late"], return_errors=True))
    assert found[0] == found[2]
    assert isinstance(found[0], Prediction)
    if isinstance(found[1], TextError):
        assert found[1].position == 1


def test_source_that_breaks_off(classifier: Classifier) -> None:
    """What it gave before is answered first."""

    def source(count: int) -> Iterator[str]:
        yield from ["late"] * count
        raise ConnectionError("gone")

    for count in 1, 64, 100, 1000:
        stream = classifier.predict_iter(source(count))
        assert len([next(stream) for _ in range(count)]) == count
        with pytest.raises(ConnectionError):
            next(stream)


@pytest.mark.parametrize("texts", [None, 3])
def test_what_is_no_stream(classifier: Classifier, texts: Any) -> None:
    """Is refused at once."""
    with pytest.raises(TextTypeError, match="expected several texts"):
        classifier.predict_iter(texts)


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done all the same."""

    def fail(self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", fail)
    assert BackgroundTask(lambda: 3).result() == 3


def test_forked_while_a_task_is_at_work(artifact: Path) -> None:
    """The child is told so, as it is for the session."""
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


def test_task_raises_what_its_work_raised() -> None:
    """In the thread that waits for it."""

    def fail() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        BackgroundTask(fail).result()
    assert BackgroundTask(lambda: 3).result() == 3
