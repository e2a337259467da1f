"""`python -m runtime.install`: copies are verified and put into place by renaming."""

import shutil
from pathlib import Path

import pytest

from runtime import load
from runtime.install import main

from ..damage import MODEL, flip_bit, rewrite


def test_installs_and_replaces(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An installed artifact equals its source, and a loaded one keeps its model when it is replaced."""
    target, other = tmp_path / "a/target", Path(shutil.copytree(artifact, tmp_path / "other"))
    rewrite(other, lambda fields: fields.update(base_model={"name": "other"}))
    assert main([str(artifact), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    loaded = load(target, provider="cpu")
    expected = loaded.predict("late")
    assert main([str(other), str(target), "--overwrite"]) == 0
    assert loaded.predict("late") == expected
    assert load(target, provider="cpu").manifest.base_model == {"name": "other"}
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("what", ["other scores", "a flipped bit", "no overwrite"])
def test_rejected_artifact_leaves_the_old_one(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """An artifact that is rejected leaves the installed one in place."""
    source, target = (Path(shutil.copytree(artifact, tmp_path / name)) for name in ("source", "target"))
    if what == "other scores":
        rewrite(source, lambda fields: [g.update(scores=g["scores"][::-1]) for g in fields["golden"]])
    elif what == "a flipped bit":
        flip_bit(source / MODEL)
    options = [] if what == "no overwrite" else ["--overwrite"]
    assert main([str(source), str(target), *options]) == 1
    expected = {"other scores": "nothing was written", "a flipped bit": "its sha256 is not", "no overwrite": "exists"}
    assert expected[what] in capsys.readouterr().err
    assert load(target, provider="cpu").predict("late") == load(artifact, provider="cpu").predict("late")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_target_inside_the_artifact(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target inside the source artifact is rejected, also through a link."""
    assert main([str(copy), str(copy / "sub")]) == 1
    assert "is inside the artifact" in capsys.readouterr().err
    link = tmp_path / "link"
    link.symlink_to(copy)
    assert main([str(copy), str(link), "--overwrite"]) == 1
    assert capsys.readouterr().err
    assert load(copy, provider="cpu").labels
