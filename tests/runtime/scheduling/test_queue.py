"""The queue: common batches, fair turns, limits, and callers that leave, are late or fail."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Classifier, DeadlineError, InferenceError, OverloadError, TextError, TextTypeError, load
from runtime.scheduling.call import Call, Output
from runtime.scheduling.queue import BatchQueue, batch_of_first

SHORT, LONG = "late", "late " * 30


class HeldSession:
    """A session whose runs wait until they are let go, and are counted."""

    def __init__(self, session: object) -> None:
        self._session = session
        self.entered, self.go = threading.Event(), threading.Event()
        self.batches: list[tuple[int, int]] = []
        self.error: Exception | None = None

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Notes the shape, waits, and runs or fails."""
        self.batches.append(inputs["input_ids"].shape)
        self.entered.set()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        return self._session.run(inputs)


class Setup:
    """A queue over a held session, and the calls in the order in which they were done."""

    def __init__(self, classifier: Classifier, **limits: object) -> None:
        self.held = HeldSession(classifier._session)
        self.queue = BatchQueue(self.held, classifier._tokenizer, max_length=classifier.manifest.max_length, **limits)
        self.done: list[Call] = []

    def call(self, *texts: str, **options: object) -> Call:
        """Submits a call."""
        call = Call(texts, self.done.append, **options)
        self.queue.submit(call)
        return call

    def finish(self) -> list[Call]:
        """Lets the runs go, waits for all calls, and returns those that were done."""
        self.held.go.set()
        self.queue.close()
        return self.done


@pytest.fixture
def start(classifier: Classifier) -> Iterator[Callable[..., Setup]]:
    """Starts queues over the classifier, and closes them."""
    setups = []

    def started(**limits: object) -> Setup:
        setups.append(Setup(classifier, **{"batch_tokens": 512} | limits))
        return setups[-1]

    yield started
    for setup in setups:
        setup.finish()


def busy(setup: Setup) -> Call:
    """Submits a call and returns while it runs."""
    call = setup.call(SHORT)
    assert setup.held.entered.wait(20)
    return call


def test_lone_call_runs_alone(start: Callable[..., Setup]) -> None:
    """A call that finds the queue idle runs at once, and nothing is added to it."""
    setup = start()
    first = busy(setup)
    assert setup.held.batches == [(1, 3)]
    assert setup.finish() == [first]


def test_calls_that_wait_together_run_as_one_batch(start: Callable[..., Setup]) -> None:
    """What arrives while a batch runs forms the next one."""
    setup = start()
    calls = [busy(setup), *(setup.call(SHORT) for _ in range(5))]
    assert set(setup.finish()) == set(calls)
    assert setup.held.batches == [(1, 3), (5, 3)]


def test_batches_are_of_similar_length(start: Callable[..., Setup]) -> None:
    """A batch stays within its tokens, and short texts are not padded to the length of long ones."""
    setup = start(batch_tokens=64)
    busy(setup)
    for text in (SHORT, LONG, SHORT, LONG, SHORT):
        setup.call(text)
    setup.finish()
    assert setup.held.batches == [(1, 3), (3, 3), (2, 32)]


def test_outputs_are_those_of_the_model(start: Callable[..., Setup], classifier: Classifier) -> None:
    """Logits, windows and errors come in the order of a call's texts."""
    setup = start()
    setup.held.go.set()
    whole = setup.call("late " * 100, windows=True)
    mixed = setup.call(SHORT, "", LONG, None)
    setup.finish()
    expected = classifier.predict_many([SHORT, LONG], with_logits=True)
    logits = [output.logits[0] for output in mixed.outputs if isinstance(output, Output)]
    assert logits == [pytest.approx(prediction.logits, abs=1e-5) for prediction in expected]
    errors = [output for output in mixed.outputs if isinstance(output, TextError)]
    assert [(type(error), error.position) for error in errors] == [(TextError, 1), (TextTypeError, 3)]
    (output,) = whole.outputs
    windows = classifier.predict("late " * 100, windows=True, with_logits=True).windows
    assert output.logits == [pytest.approx(window.logits, abs=1e-5) for window in windows]
    assert [window.span for window in output.windows] == [(window.start, window.end) for window in windows]


def test_one_text_does_not_wait_for_all_of_many(start: Callable[..., Setup]) -> None:
    """A call of one text overtakes the rest of a large call that came before it."""
    setup = start(batch_tokens=64)
    busy(setup)
    many = setup.call(*[LONG] * 40)
    one = setup.call(LONG)
    other_many = setup.call(*[LONG] * 40)
    done = setup.finish()
    assert done[1] is one
    assert set(done[2:]) == {many, other_many}


def test_windows_of_a_long_text_do_not_hold_up_others(start: Callable[..., Setup]) -> None:
    """A text in many windows takes turns with a short text that came later."""
    setup = start(batch_tokens=64)
    busy(setup)
    long = setup.call("late " * 4000, windows=True)
    setup.held.go.set()
    while len(setup.held.batches) < 4:
        time.sleep(0.001)
    short = setup.call(SHORT)
    done = setup.finish()
    assert done[1:] == [short, long]
    assert len(long.outputs[0].windows) > 100


def test_failing_callback_does_not_stop_the_queue(start: Callable[..., Setup]) -> None:
    """An error of `done`, as when an event loop was closed meanwhile, leaves the queue running."""
    setup = start()
    busy(setup)

    def fail(_: Call) -> None:
        raise RuntimeError

    setup.queue.submit(Call([SHORT], fail, deadline=time.monotonic()))
    setup.held.go.set()
    time.sleep(0.05)
    call = setup.call(SHORT)
    assert call in setup.finish()


def test_large_calls_share_the_session(start: Callable[..., Setup]) -> None:
    """Two large calls progress together, so that the smaller one is done first although it came later."""
    setup = start(batch_tokens=64)
    busy(setup)
    many, fewer = setup.call(*[LONG] * 60), setup.call(*[LONG] * 20)
    assert setup.finish()[1:] == [fewer, many]
    assert len(setup.held.batches) <= 1 + 40


def test_cancelled_call_is_not_run(start: Callable[..., Setup]) -> None:
    """What a caller has left is not computed, and the caller is not called back."""
    setup = start()
    first = busy(setup)
    left = setup.call(SHORT, SHORT)
    left.cancel()
    assert setup.finish() == [first]
    assert setup.held.batches == [(1, 3)]
    assert setup.queue.waiting_tokens == 0


def test_late_call_is_not_run(start: Callable[..., Setup]) -> None:
    """A call whose deadline passed while it waited fails and is not computed."""
    setup = start()
    busy(setup)
    late = setup.call(SHORT, deadline=time.monotonic())
    setup.finish()
    assert isinstance(late.error, DeadlineError)
    assert setup.held.batches == [(1, 3)]


def test_limit_on_waiting_tokens(start: Callable[..., Setup]) -> None:
    """A call that would make too many tokens wait is rejected, and those that wait go on."""
    setup = start(max_waiting_tokens=60)
    calls = [busy(setup), setup.call(LONG), setup.call(LONG)]
    with pytest.raises(OverloadError, match=r"too many texts are waiting; try again in \d+\.\d\d s"):
        setup.call(LONG)
    assert set(setup.finish()) == set(calls)


def test_large_call_does_not_shut_out_small_ones(start: Callable[..., Setup]) -> None:
    """While one call that exceeds the limit runs, small calls are still accepted."""
    setup = start(max_waiting_tokens=60)
    large = setup.call(*[LONG] * 40)
    assert setup.held.entered.wait(20)
    small = setup.call(SHORT)
    assert {*setup.finish()} == {large, small}


def test_idle_queue_takes_any_call(start: Callable[..., Setup]) -> None:
    """A call larger than the limit runs if nothing else waits."""
    setup = start(max_waiting_tokens=60)
    call = setup.call(*[LONG] * 8)
    assert setup.finish() == [call]


def test_limit_on_waiting_time(start: Callable[..., Setup]) -> None:
    """A call that would wait too long is rejected with the time after which to try again."""
    setup = start(max_wait_s=0.05)
    setup.queue._token_s = 0.001  # as if a token took 1 ms
    busy(setup)
    setup.call(LONG)
    with pytest.raises(OverloadError) as raised:
        setup.call(*[LONG] * 2)
    setup.call(SHORT)  # has its turn before the long one
    assert raised.value.retry_after_s == pytest.approx(0.051)


def test_failure_ends_the_calls_of_its_batch_only(start: Callable[..., Setup]) -> None:
    """An error of the model reaches the callers of its batch, and the queue works on."""
    setup = start()
    first = busy(setup)
    setup.held.error = RuntimeError("with a text in it")
    setup.held.go.set()
    while not setup.done:
        time.sleep(0.001)
    setup.held.error = None
    second = setup.call(SHORT)
    setup.finish()
    assert isinstance(first.error, InferenceError)
    assert str(first.error) == "running the batch failed: RuntimeError"
    assert second.error is None
    assert setup.queue.waiting_tokens == 0


def test_close_waits_for_what_was_queued(start: Callable[..., Setup]) -> None:
    """Closing rejects further calls and returns when the others are done."""
    setup = start()
    calls = [busy(setup), setup.call(SHORT)]
    threading.Timer(0.05, setup.held.go.set).start()
    setup.queue.close()
    assert setup.done == calls
    with pytest.raises(InferenceError, match="closed"):
        setup.call(SHORT)


def test_forked_process_is_rejected(start: Callable[..., Setup]) -> None:
    """In a forked process, where the thread does not exist, a call fails instead of waiting for ever."""
    setup = start()
    child = os.fork()
    if child == 0:
        try:
            setup.call(SHORT)
        except InferenceError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_ages_and_tokens_of_what_waits(start: Callable[..., Setup]) -> None:
    """The queue knows how many tokens wait and for how long; both are 0 when it is idle."""
    setup = start()
    assert setup.queue.oldest_s == 0
    busy(setup)
    setup.call(LONG)
    assert setup.queue.waiting_tokens == 3 + 48  # estimated by characters
    assert setup.queue.oldest_s > 0
    setup.finish()
    assert (setup.queue.waiting_tokens, setup.queue.oldest_s) == (0, 0)


def test_timing_adds_up(start: Callable[..., Setup]) -> None:
    """The phases of a call are not negative and do not exceed its age."""
    setup = start()
    busy(setup)
    call = setup.call(LONG, LONG)
    time.sleep(0.02)
    setup.finish()
    timing = call.timing()
    assert timing.tokens == 64
    assert timing.queue_s >= 0.02
    assert min(timing.tokenize_s, timing.inference_s) > 0
    assert sum(timing[:3]) <= call.age_s


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 200))
def test_batch_of_the_first_text(lengths: list[int], max_tokens: int) -> None:
    """The batch holds the first text and its neighbours in length, and is within the limit unless it is alone."""
    batch = batch_of_first(lengths, max_tokens)
    assert 0 in batch
    chosen = sorted(lengths[index] for index in batch)
    assert len(batch) == 1 or len(batch) * chosen[-1] <= max_tokens
    others = [length for index, length in enumerate(lengths) if index not in batch]
    assert not [length for length in others if chosen[0] < length < chosen[-1]]
    assert all((len(batch) + 1) * max(chosen[-1], length) > max_tokens for length in others)


def test_many_threads(int8_artifact: str) -> None:
    """Callers of many threads get the logits of their own texts, bit-equal to those of the text alone."""
    with load(int8_artifact, provider="cpu", threads=1) as classifier:
        texts = ["late " * (1 + number % 23) + "train" for number in range(60)]
        expected = [classifier.predict(text, with_logits=True).logits for text in texts]
        queue = classifier.new_queue()
        found: dict[int, Sequence[float]] = {}

        def ask(number: int) -> None:
            finished = threading.Event()
            call = Call([texts[number]], lambda _: finished.set())
            queue.submit(call)
            assert finished.wait(20)
            found[number] = call.outputs[0].logits[0]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(texts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        queue.close()
    assert [tuple(found[number]) for number in range(len(texts))] == expected
