"""Results survive: whatever an earlier run left behind, and whatever becomes of the run that would replace them."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import InputError
from runtime.files.atomic_file import atomic_write, is_same_file

NAMES = ["found.jsonl"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A finished result that its run left under both names."""
    path = tmp_path / "found.jsonl"
    path.write_text("finished")
    os.link(path, tmp_path / "found.jsonl.part")
    return path


def names(target: Path) -> list[str]:
    """Returns what lies in the folder."""
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("written", ["", "new"])
def test_result_survives_a_failed_overwrite(target: Path, error: type[BaseException], written: str) -> None:
    """It is as it was until the new one is complete, also under two names of one file."""
    with pytest.raises(error), atomic_write(target, overwrite=True) as file:
        file.write(written)
        file.flush()
        assert target.read_text() == "finished"
        raise error
    assert target.read_text() == "finished"


def test_result_survives_a_failed_rename(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one then stays beside it."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_write(target, overwrite=True) as file:
        file.write("new")
    assert target.read_text() == "finished"
    assert target.with_name("found.jsonl.part").read_text() == "new"


def test_overwrite_of_a_result_under_two_names(target: Path) -> None:
    """It is replaced when the new one is complete, and nothing is left beside it."""
    with atomic_write(target, overwrite=True) as file:
        file.write("new")
    assert target.read_text() == "new"
    assert names(target) == NAMES


def test_empty_result_under_two_names(target: Path) -> None:
    """An empty result is one, too: nothing is written into it."""
    os.truncate(target, 0)
    with atomic_write(target, overwrite=True) as file:
        file.write("new")
        file.flush()
        assert target.read_text() == ""
    assert target.read_text() == "new"


def test_nothing_is_touched_without_overwrite(target: Path) -> None:
    """Neither the result nor what was left behind beside it."""
    with pytest.raises(InputError, match="exists"), atomic_write(target, overwrite=False):
        pass
    part = target.with_name("found.jsonl.part")
    target.unlink()
    with pytest.raises(InputError, match="left over from an interrupted job"), atomic_write(target, overwrite=False):
        pass
    assert part.read_text() == "finished"


def test_killed_between_two_names(tmp_path: Path) -> None:
    """A run that is killed when the result has both names leaves the result, which the next run replaces as a whole."""
    script = """
import os, signal, sys
from pathlib import Path
from runtime.files.atomic_file import atomic_write
Path.unlink = lambda self, missing_ok=False: os.kill(os.getpid(), signal.SIGKILL)
with atomic_write(Path(sys.argv[1]), overwrite=False) as file:
    file.write("finished")
"""
    target = tmp_path / "found.jsonl"
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(target) == ["found.jsonl", "found.jsonl.part"]
    with pytest.raises(KeyboardInterrupt), atomic_write(target, overwrite=True) as file:
        file.write("ne")
        raise KeyboardInterrupt
    assert target.read_text() == "finished"
    with atomic_write(target, overwrite=True) as file:
        file.write("new")
    assert (target.read_text(), names(target)) == ("new", NAMES)


def test_files_in_use(tmp_path: Path) -> None:
    """Neither the result nor its unfinished form may be a file that is read or written meanwhile, under any name."""
    (tmp_path / "notes").write_text("late")
    for name in "found.jsonl", "found.jsonl.part":
        os.link(tmp_path / "notes", tmp_path / name)
        for mode in "rb", "ab":
            with (
                (tmp_path / "notes").open(mode) as file,
                pytest.raises(InputError, match=f"{name} is both input and output"),
            ):
                atomic_write(tmp_path / "found.jsonl", overwrite=True, in_use={"input": file}).__enter__()
        (tmp_path / name).unlink()
    assert (tmp_path / "notes").read_text() == "late"


def test_what_is_one_file(tmp_path: Path) -> None:
    """Regular files are compared by what they are; pipes, devices and memory are never one file."""
    (tmp_path / "notes").write_text("late")
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    with (tmp_path / "notes").open("rb") as one, (tmp_path / "link").open("a") as other:
        assert is_same_file(one, other)
        assert not is_same_file(one, io.BytesIO())
    assert not is_same_file(one, one)
    with Path(os.devnull).open("rb") as one, Path(os.devnull).open("w") as other:
        assert not is_same_file(one, other)
