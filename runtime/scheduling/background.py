"""Runs work in another thread."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

from ..errors import FORKED, InferenceError

POLL_S = 0.1

Result = TypeVar("Result")
Item = TypeVar("Item")


class BackgroundTask(Generic[Result]):
    """Runs a function in a background thread.

    A `concurrent.futures.Future` would wait forever in a forked child, where the thread does not exist, and needs an
    executor that can start a thread.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        """Starts the function. If no thread can be started, it runs at once in this one."""
        self._work = work
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="litmus")
        try:
            self._thread.start()
        except RuntimeError:  # "can't start new thread"
            self._run()

    def result(self) -> Result:
        """Waits for the function; returns its result or raises its error.

        Raises:
            InferenceError: The process was forked meanwhile, so the thread does not exist here.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        if not self._results:
            raise InferenceError(FORKED)
        return self._results[0]

    def wait(self) -> None:
        """Waits for the thread to finish; does not raise the function's error."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error


def read_ahead(items: Iterable[Item], most: int) -> Generator[Item, None, None]:
    """Iterates in a background thread, some items ahead of the caller.

    Args:
        items: What to iterate over.
        most: Number of items ahead.

    Yields:
        The items. If iterating raises an error, it is raised after the items before it.
    """
    reader = _Reader(items, most)
    thread = threading.Thread(target=reader.run, name="litmus-reader", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # "can't start new thread"
        yield from items
        return
    try:
        while not isinstance(item := reader.ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        reader.stopped.set()
        thread.join()


class _Reader(Generic[Item]):
    """Puts items into a queue until it is stopped."""

    def __init__(self, items: Iterable[Item], most: int) -> None:
        self.ready: queue.Queue[Item | _End] = queue.Queue(most)
        self.stopped = threading.Event()
        self._items = items

    def run(self) -> None:
        error = None
        try:
            for item in self._items:
                self._put(item)
                if self.stopped.is_set():
                    break
        except BaseException as raised:
            error = raised
        self._put(_End(error))

    def _put(self, item: "Item | _End") -> None:
        while not self.stopped.is_set():
            try:
                self.ready.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return


class _End:
    """The end of the items, and the error that caused it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
