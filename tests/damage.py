"""Ways to damage an artifact, for tests of what rejects it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from runtime.artifact.folder import sha256
from runtime.artifact.manifest import _digest

MODEL = "onnx/model.onnx"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object] = dict) -> None:
    """Changes the manifest and updates its digest and hashes, as an attacker or a faulty exporter would."""
    fields = json.loads((folder / "litmus.json").read_text())
    fields.pop("manifest_sha256")
    for name, entry in fields["files"].items():
        if (folder / name).is_file():
            entry.update(sha256=sha256(folder / name), size_bytes=(folder / name).stat().st_size)
    change(fields)
    fields["manifest_sha256"] = _digest(fields)
    (folder / "litmus.json").write_text(json.dumps(fields))


def rewrite_variant(folder: Path, variant: str, /, **changes: object) -> None:
    """Changes a variant's entry in the manifest."""
    rewrite(folder, lambda fields: [v.update(changes) for v in fields["variants"] if v["name"] == variant])


def rewrite_json(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON file and updates its hash."""
    content = json.loads((folder / name).read_text("utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content))
    rewrite(folder)


def change_model(folder: Path, change: Callable[[onnx.ModelProto], object], name: str = MODEL) -> None:
    """Changes an ONNX file and updates its hash."""
    model = onnx.load(folder / name)
    change(model)
    (folder / name).write_bytes(model.SerializeToString())
    rewrite(folder)


def flip_bit(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def add_foreign_domain(model: onnx.ModelProto) -> None:
    """Declares an operator domain that onnxruntime does not have."""
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))


def point_outside(model: onnx.ModelProto) -> None:
    """Moves the first weight to another file, which could be any file of the machine."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
