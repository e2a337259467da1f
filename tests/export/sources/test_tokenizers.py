"""Tokenizers of other tools: their ids, and failures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import main
from export.graph import parity
from runtime.artifact.manifest import Manifest

from ...models import FP32, write_texts

pytestmark = pytest.mark.slow

Edit = Callable[[dict[str, Any]], object]
ROWS = 30522
PROGRESS = ("exporting", "  imported", "calibrating")


@pytest.fixture(params=["checkpoint", "ONNX export"])
def source(request: pytest.FixtureRequest, checkpoint: Path, artifact: Path, tmp_path: Path) -> list[str]:
    """Returns the arguments that export a copy of a checkpoint, or import a copy of its artifact."""
    adopted = request.param == "ONNX export"
    folder = shutil.copytree(artifact if adopted else checkpoint, tmp_path / "source")
    return [str(folder), str(tmp_path / "artifact"), *FP32, *(["--from-onnx"] if adopted else [])]


def edit(argv: list[str], change: Edit, name: str = "tokenizer.json") -> None:
    """Changes a JSON file of the source."""
    path = Path(argv[0]) / name
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def error(argv: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Fails to export; returns the error, beside which standard error has only progress."""
    capfd.readouterr()
    assert main(argv) == 1
    assert not Path(argv[1]).exists()
    lines = [line for line in capfd.readouterr().err.splitlines() if line and not line.startswith(PROGRESS)]
    assert [line.partition(":")[0] for line in lines] == ["error"], lines
    return lines[0]


def renumber(token_id: int) -> Edit:
    """Gives a word of the vocabulary another id and keeps the number of tokens."""
    return lambda content: content["model"]["vocab"].update(train=token_id)


def normalize(normalizer: dict[str, Any]) -> Edit:
    """Sets the normalizer."""
    return lambda content: content.update(normalizer=normalizer)


def replace_regex(pattern: str) -> dict[str, Any]:
    """Returns a normalizer."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": "y"}


def test_id_beyond_the_embedding(source: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The largest token id counts, not the number of tokens."""
    edit(source, renumber(ROWS))
    assert f"token ids up to {ROWS}, the model's embedding has {ROWS} rows" in error(source, capfd)


def test_ids_with_gaps(source: list[str]) -> None:
    """A vocabulary with unused ids is accepted."""

    def leave_out(content: dict[str, Any]) -> None:
        del content["model"]["vocab"]["train"]

    edit(source, leave_out)
    assert main(source) == 0


def test_rows_are_those_of_the_graph(artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The graph's rows count if config.json has a larger vocabulary size."""
    folder = shutil.copytree(artifact, tmp_path / "source")
    argv = [str(folder), str(tmp_path / "artifact"), "--from-onnx", *FP32]
    edit(argv, lambda content: content.update(vocab_size=60_000), "config.json")
    assert main(argv) == 0
    assert Manifest.from_json((tmp_path / "artifact/litmus.json").read_text("utf-8")).vocab_size == ROWS
    shutil.rmtree(tmp_path / "artifact")
    edit(argv, renumber(59_999))
    assert f"the model's embedding has {ROWS} rows" in error(argv, capfd)


def cast_ids(model: onnx.ModelProto) -> None:
    """Lets the graph convert its ids to int32 first, as some exporters do."""
    for node in model.graph.node:
        node.input[:] = ["narrow" if name == "input_ids" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Cast", ["input_ids"], ["narrow"], to=TensorProto.INT32))


def look_up_elements(model: onnx.ModelProto) -> None:
    """Lets the graph look up its embedding by another operator than Gather."""
    (node,) = [node for node in model.graph.node if node.op_type == "Gather" and node.input[1] == "input_ids"]
    node.op_type, node.input[1] = "GatherND", "indices"
    del node.attribute[:]
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "last axis"))
    model.graph.node.insert(0, helper.make_node("Unsqueeze", ["input_ids", "last axis"], ["indices"]))


@pytest.mark.parametrize(
    ("change", "expected"), [(cast_ids, f"embedding has {ROWS} rows"), (look_up_elements, "onnxruntime failed on cpu")]
)
def test_other_ways_to_look_up(
    artifact: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[onnx.ModelProto], None],
    expected: str,
) -> None:
    """An id beyond the embedding fails however the graph looks it up, because the largest id is tried."""
    folder = shutil.copytree(artifact, tmp_path / "source")
    argv = [str(folder), str(tmp_path / "artifact"), "--from-onnx", *FP32]
    model = onnx.load(folder / "onnx/model.onnx")
    change(model)
    onnx.save(model, folder / "onnx/model.onnx")
    edit(argv, lambda content: content.update(vocab_size=60_000), "config.json")
    edit(argv, renumber(59_999))
    assert expected in error(argv, capfd)


@pytest.mark.parametrize("charsmap", ["AAAA", "/////wAAAAA=", "!!!", "", "EAAAAAECAwQFBgcICQoLDA0ODxBhYmM="])
def test_charsmap_that_is_none(source: list[str], capfd: pytest.CaptureFixture[str], charsmap: str) -> None:
    """A character map that would panic or end the process gives one line of error."""
    edit(source, normalize({"type": "Precompiled", "precompiled_charsmap": charsmap}))
    assert "tokenizer.json" in error(source, capfd)


def test_normalizer_that_matches_nothing(source: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """A normalizer that panics on every text gives one line of error."""
    edit(source, normalize({"type": "Sequence", "normalizers": [replace_regex("x*"), {"type": "NFKC"}]}))
    assert "tokenizer.json fails on a single letter" in error(source, capfd)


def test_normalizer_that_fails_on_some_texts(
    source: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A normalizer that panics on a text of the parity check gives one line of error."""
    monkeypatch.setattr(parity, "GOLDEN", ("late", "a" * 60 + "c"))
    edit(source, normalize(replace_regex("(a+)+b$")))
    assert "tokenizer.json fails on an ordinary text" in error(source, capfd)


def test_graph_that_fails_on_a_text(artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A graph that fails on a text gives one line of error without onnxruntime's own."""
    folder = shutil.copytree(artifact, tmp_path / "source")
    texts = write_texts(tmp_path / "texts.txt")
    argv = [str(folder), str(tmp_path / "artifact"), "--from-onnx", "--calibration", str(texts)]

    def number_segments(content: dict[str, Any]) -> None:
        for part in content["post_processor"]["single"]:
            next(iter(part.values()))["type_id"] = 5

    edit(argv, number_segments)
    assert "the graph fails on a calibration text" in error(argv, capfd)
