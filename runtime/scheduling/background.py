"""Runs work in another thread."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import FORKED, InferenceError

Result = TypeVar("Result")


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
