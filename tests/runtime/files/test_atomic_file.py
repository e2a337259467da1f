"""Output files: an existing result survives whatever happens to the job that would replace it."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import InputError
from runtime.files.atomic_file import atomic_write, is_same_file

NAMES = ["found.jsonl"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A finished result that exists under both names, because its job was killed between link and unlink."""
    path = tmp_path / "found.jsonl"
    path.write_text("finished")
    os.link(path, tmp_path / "found.jsonl.part")
    return path


def names(target: Path) -> list[str]:
    """Returns the names of the files in the folder."""
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("written", ["", "new"])
def test_result_survives_a_failed_overwrite(target: Path, error: type[BaseException], written: str) -> None:
    """The old result stays complete if the job that overwrites it fails."""
    with pytest.raises(error), atomic_write(target, overwrite=True) as file:
        file.write(written)
        file.flush()
        assert target.read_text() == "finished"
        raise error
    assert target.read_text() == "finished"
    assert names(target) == [target.name, f"{target.name}.part"][: 1 + bool(written)]


def test_interrupt_after_the_rename(target: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """An interrupt after the result is complete leaves it under its name alone, and no message about a part of it."""
    plain = Path.replace

    def interrupted(part: Path, path: Path) -> None:
        plain(part, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_write(target, overwrite=True) as file:
        file.write("new")
    assert target.read_text() == "new"
    assert names(target) == NAMES
    assert capsys.readouterr().err == ""


def test_text_and_mode_of_a_file(tmp_path: Path) -> None:
    """A lone surrogate is written as an escape, and the umask decides who may read the file."""
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "new.jsonl", overwrite=False) as file:
            file.write("é \ud800")
    finally:
        os.umask(before)
    assert (tmp_path / "new.jsonl").read_bytes() == "é \\ud800".encode()
    assert (tmp_path / "new.jsonl").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["/dev/null", "/dev/full", "."])
def test_what_is_no_file(name: str) -> None:
    """A device or a folder is rejected before anything is written."""
    with pytest.raises(InputError, match="is not a"), atomic_write(Path(name), overwrite=True):
        pass


def test_result_survives_a_failed_rename(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old result stays complete if the rename fails, and the new one stays beside it."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_write(target, overwrite=True) as file:
        file.write("new")
    assert target.read_text() == "finished"
    assert target.with_name("found.jsonl.part").read_text() == "new"


def test_overwrite_of_a_result_under_two_names(target: Path) -> None:
    """A result that exists under both names is replaced, and no other file is left."""
    with atomic_write(target, overwrite=True) as file:
        file.write("new")
    assert target.read_text() == "new"
    assert names(target) == NAMES


def test_empty_result_under_two_names(target: Path) -> None:
    """An empty result counts as a result, so the new one is not written into it."""
    os.truncate(target, 0)
    with atomic_write(target, overwrite=True) as file:
        file.write("new")
        file.flush()
        assert target.read_text() == ""
    assert target.read_text() == "new"


def test_nothing_is_touched_without_overwrite(target: Path) -> None:
    """Neither a result nor a leftover `.part` file is changed without `overwrite`."""
    with pytest.raises(InputError, match="exists"), atomic_write(target, overwrite=False):
        pass
    part = target.with_name("found.jsonl.part")
    target.unlink()
    with pytest.raises(InputError, match="left over from an interrupted job"), atomic_write(target, overwrite=False):
        pass
    assert part.read_text() == "finished"


def test_kill_between_link_and_unlink(tmp_path: Path) -> None:
    """A job that is killed between link and unlink leaves a complete result, which the next job replaces."""
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
    """An output that is also an open input is rejected, under its name, under `.part` and through hard links."""
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


def test_is_same_file(tmp_path: Path) -> None:
    """Regular files are the same by device and inode; pipes, devices and files in memory never are."""
    (tmp_path / "notes").write_text("late")
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    with (tmp_path / "notes").open("rb") as one, (tmp_path / "link").open("a") as other:
        assert is_same_file(one, other)
        assert not is_same_file(one, io.BytesIO())
    assert not is_same_file(one, one)
    with Path(os.devnull).open("rb") as one, Path(os.devnull).open("w") as other:
        assert not is_same_file(one, other)
