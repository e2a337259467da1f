"""Work in another thread."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import FORKED, InferenceError

Result = TypeVar("Result")


class BackgroundTask(Generic[Result]):
    """A function that is at work, or has been, in a thread of its own."""

    def __init__(self, work: Callable[[], Result]) -> None:
        """Starts it; where no thread can be had, it is done at once."""
        self._work = work
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="litmus")
        try:
            self._thread.start()
        except RuntimeError:  # "can't start new thread"
            self._run()

    def result(self) -> Result:
        """Waits for its end; returns what it returned, or raises what it raised.

        Raises:
            InferenceError: The process was forked meanwhile, and the thread is not in this one.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        if not self._results:
            raise InferenceError(FORKED)
        return self._results[0]

    def wait(self) -> None:
        """Waits for its end, whatever comes out."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error
