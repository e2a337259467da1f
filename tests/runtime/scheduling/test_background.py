"""`read_ahead`: another thread reads, some items ahead, and ends with its caller."""

import threading
import time
from collections.abc import Iterator

import pytest

from runtime.scheduling.background import read_ahead


def test_items_come_in_order_from_another_thread() -> None:
    """The items are those of the iterable, which another thread reads."""
    threads = set()

    def items() -> Iterator[int]:
        for number in range(100):
            threads.add(threading.get_ident())
            yield number

    assert list(read_ahead(items(), 3)) == list(range(100))
    assert threads
    assert threading.get_ident() not in threads


def test_error_comes_after_the_items_before_it() -> None:
    """An error of the iterable is raised when the items before it were taken."""

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError

    found = []
    with pytest.raises(ZeroDivisionError):
        for item in read_ahead(items(), 5):
            found.append(item)  # noqa: PERF402 - what came before the error
    assert found == [1, 2]


def test_reads_no_further_than_some_items_ahead() -> None:
    """Only so many items wait, and closing the generator ends the thread."""
    read = []

    def items() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    before = threading.active_count()
    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0
    time.sleep(0.2)
    assert len(read) <= 1 + 3 + 1
    ahead.close()
    assert threading.active_count() == before
    assert len(read) <= 1 + 3 + 2


def test_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the caller's reads the items."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert list(read_ahead(range(5), 2)) == [0, 1, 2, 3, 4]
