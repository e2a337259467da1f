"""An interrupt that Python would only print stops every command."""

import sys
import time
from collections.abc import Callable, Sequence

import pytest

import benchmarks.__main__
import export.__main__
import training.__main__


class Interrupted:
    """An object in whose destructor an interrupt arrives."""

    def __del__(self) -> None:
        raise KeyboardInterrupt


def job(*_: object) -> None:
    """Is interrupted in a destructor, and would go on for a minute."""
    Interrupted()
    time.sleep(60)


COMMANDS = {
    "benchmarks": (benchmarks.__main__, ["quality", "--model", "a", "--checkpoint", "c"]),
    "export": (export.__main__, ["checkpoint", "artifact"]),
    "training": (training.__main__, ["--dataset", "wisconsin", "--output_dir", "out"]),
}


@pytest.mark.parametrize(("module", "arguments"), COMMANDS.values(), ids=COMMANDS)
def test_interrupt_in_a_destructor(module: object, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with status 130, and Python's own hook is in place again."""
    monkeypatch.setattr(module, "run", job)
    hook = sys.unraisablehook
    main: Callable[[Sequence[str]], int] = module.main  # type: ignore[attr-defined]
    assert main(arguments) == 130
    assert sys.unraisablehook is hook
