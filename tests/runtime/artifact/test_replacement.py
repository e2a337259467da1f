"""Replacing or changing the files of an artifact during and after a load."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from runtime import ArtifactError, InferenceError, LitmusError, load
from runtime.artifact import publishing, watched_file
from runtime.engine import session

from ...damage import MODEL, change_model, rewrite

TEXT = "late"


@pytest.mark.parametrize("step", ["first rename", "second rename", "removal"])
def test_interrupted_replacement(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An interrupt after any step of a replacement leaves one complete artifact, the old or the new, and no more."""
    target, done = Path(shutil.copytree(artifact, tmp_path / "target")), []

    def interrupting(function: Callable[..., object], names: list[str]) -> Callable[..., object]:
        def call(*args: Any, **options: Any) -> object:
            result = function(*args, **options)
            done.append(names[len(done)] if len(done) < len(names) else "")
            if done[-1] == step:
                raise KeyboardInterrupt
            return result

        return call

    if step == "removal":
        monkeypatch.setattr(publishing.shutil, "rmtree", interrupting(shutil.rmtree, ["removal"]))
    else:
        monkeypatch.setattr(Path, "rename", interrupting(Path.rename, ["first rename", "second rename"]))
    with pytest.raises(KeyboardInterrupt), publishing.publishing(target, overwrite=True) as folder:
        shutil.copytree(artifact, folder, dirs_exist_ok=True)
    assert step in done
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [target]
    assert load(target, provider="cpu").predict(TEXT).label


def test_target_that_cannot_be_made(tmp_path: Path) -> None:
    """A target inside a file, with too long a name or behind a loop of links is an artifact's error with its path."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file/artifact", "x" * 250, "loop"):
        with (
            pytest.raises(ArtifactError, match=re.escape(str(tmp_path / name))),
            publishing.publishing(tmp_path / name, overwrite=True),
        ):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


def artifacts(artifact: Path, folder: Path) -> tuple[Path, Path]:
    """Creates two artifacts with different labels and different logits."""
    first, second = (Path(shutil.copytree(artifact, folder / name)) for name in ("first", "second"))
    rewrite(second, lambda fields: fields.update(labels=["x", "y", "z"]))
    change_model(second, shift_logits)
    return first, second


def shift_logits(model: onnx.ModelProto) -> None:
    """Adds 1 to the logits of the model."""
    (last,) = (node for node in model.graph.node if "logits" in node.output)
    last.output[:] = ["before" if output == "logits" else output for output in last.output]
    model.graph.initializer.append(onnx.helper.make_tensor("shift", onnx.TensorProto.FLOAT, [1], [1.0]))
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "shift"], ["logits"]))


def switch(link: Path, target: Path) -> None:
    """Points a link elsewhere, in one step."""
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


def test_link_switched_during_a_load(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is followed once, so manifest, tokenizer and weights come from the same artifact."""
    first, second = artifacts(artifact, tmp_path)
    link = tmp_path / "current"
    link.symlink_to(first)
    expected = load(first, provider="cpu").logits([TEXT])
    plain = session.WatchedFile

    def switched(*args: object) -> watched_file.WatchedFile:
        switch(link, second)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "WatchedFile", switched)
    classifier = load(link, provider="cpu")
    assert classifier.labels == ("calm", "glad", "sad")
    assert (classifier.logits([TEXT]) == expected).all()
    assert classifier.info()["artifact"]["folder"] == str(first)


def test_link_switched_continuously(artifact: Path, tmp_path: Path) -> None:
    """Each of many loads gets labels and weights of the same artifact while the link is switched."""
    first, second = artifacts(artifact, tmp_path)
    link = tmp_path / "current"
    link.symlink_to(first)
    expected = {loaded.labels: loaded.logits([TEXT]).tolist() for loaded in (load(first), load(second))}
    assert len({str(logits) for logits in expected.values()}) == 2
    done = threading.Event()

    def flip() -> None:
        while not done.wait(0.001):
            switch(link, second)
            switch(link, first)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(20):
            loaded = load(link, provider="cpu", threads=1)
            assert loaded.logits([TEXT]).tolist() == expected[loaded.labels]
    finally:
        done.set()
        thread.join()


def test_model_replaced_between_hashing_and_mapping(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is replaced after it was hashed, and before onnxruntime opens it, is rejected."""
    plain = session.create_session

    def replaced(path: Path, *args: object) -> object:
        shutil.copy(path, path.with_name("new"))
        path.with_name("new").replace(path)
        return plain(path, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "create_session", replaced)
    with pytest.raises(ArtifactError, match=f"^{MODEL} was replaced while it was being loaded"):
        load(copy, provider="cpu")


def overwrite(path: Path) -> None:
    """Overwrites a bit in the file, as `rsync --inplace` does, and restores its times."""
    before = path.stat()
    flip_bit_in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_bit_in_place(path: Path) -> None:
    """Changes one bit in the middle of a file without replacing the file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


CHANGES: dict[str, Callable[[Path], object]] = {
    "overwritten": overwrite,
    "cut": lambda path: os.truncate(path, 1000),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_model_changed_in_place(copy: Path, name: str) -> None:
    """Every call raises InferenceError once the model's file was changed in place; the process survives."""
    classifier = load(copy, provider="cpu", threads=1)
    classifier.predict(TEXT)
    CHANGES[name](copy / MODEL)
    for _ in range(2):
        with pytest.raises(InferenceError, match=f"^{MODEL} was changed in place while it was loaded; load the"):
            classifier.predict(TEXT)


def test_model_changed_during_a_run(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that was computed while the model's file changed is discarded."""
    classifier = load(copy, provider="cpu", threads=1)
    plain = classifier._session._session

    class Slow:
        def run(self, *args: object) -> object:
            overwrite(copy / MODEL)
            return plain.run(*args)

    monkeypatch.setattr(classifier._session, "_session", Slow())
    with pytest.raises(InferenceError, match="was changed in place"):
        classifier.predict(TEXT)
    monkeypatch.undo()


def test_model_changed_and_restored_during_a_run(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is repeated if the file was touched meanwhile, although it is the same again afterwards."""
    classifier = load(copy, provider="cpu", threads=1)
    expected = classifier.logits([TEXT])
    plain, runs = classifier._session._session, []

    class Wrong:
        def run(self, *args: object) -> object:
            runs.append(args)
            if len(runs) > 1:
                return plain.run(*args)
            flip_bit_in_place(copy / MODEL)
            flip_bit_in_place(copy / MODEL)
            return [expected + 1]

    monkeypatch.setattr(classifier._session, "_session", Wrong())
    assert (classifier.logits([TEXT]) == expected).all()
    monkeypatch.undo()


def test_artifact_replaced_during_a_load(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load starts over if the artifact is replaced; a damaged one that is not replaced fails at once."""
    first, second = artifacts(artifact, tmp_path)
    plain, opened = session.WatchedFile, []

    def replaced(*args: object) -> watched_file.WatchedFile:
        opened.append(args)
        if len(opened) == 1:
            first.rename(tmp_path / "aside")
            second.rename(first)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "WatchedFile", replaced)
    assert load(first, provider="cpu").labels == ("x", "y", "z")
    assert len(opened) == 2
    flip_bit_in_place(first / MODEL)
    with pytest.raises(ArtifactError, match="its sha256 is not the one in the manifest"):
        load(first, provider="cpu")
    assert len(opened) == 3


def test_model_touched_renamed_or_removed(copy: Path) -> None:
    """A model whose file gets other times, another mode or name, or is removed, still predicts the same."""
    classifier = load(copy, provider="cpu", threads=1)
    expected = classifier.predict(TEXT)
    model = copy / MODEL
    for harmless in (
        lambda: os.utime(model, (0, 0)),
        lambda: model.chmod(0o600),
        lambda: copy.rename(copy.with_name("aside")),
        lambda: shutil.rmtree(copy.with_name("aside")),
    ):
        harmless()
        assert classifier.predict(TEXT) == expected


def test_process_survives_a_copy_over_its_model(copy: Path) -> None:
    """A copy over the file of a loaded model raises InferenceError and does not end the process with SIGBUS."""
    code = (
        "import os, shutil, sys\nfrom pathlib import Path\nfrom runtime import load, LitmusError\n"
        "model = Path(sys.argv[1], sys.argv[2])\nclassifier = load(sys.argv[1], provider='cpu', threads=1)\n"
        "content = model.read_bytes()\nmodel.open('wb').close()\n"
        "try:\n    classifier.predict('late')\nexcept LitmusError as error:\n    print(type(error).__name__)\n"
        "model.write_bytes(content)\n"
        "try:\n    classifier.predict('late')\nexcept LitmusError as error:\n    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(copy), MODEL], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "InferenceError\nInferenceError\n")
    assert issubclass(InferenceError, LitmusError)
