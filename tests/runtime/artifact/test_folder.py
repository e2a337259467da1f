"""What loading refuses, each with a message that says what was found and what to do."""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from runtime import (
    ArtifactError,
    ArtifactNotFoundError,
    DependencyError,
    InferenceError,
    LitmusError,
    ProviderError,
    load,
)
from runtime.artifact.manifest import Manifest
from runtime.engine.model_file import bytes_field
from runtime.files.writers import printable

from ...damage import add_foreign_domain, change_model, flip_bit, point_outside, rewrite


def refusal(folder: Path) -> str:
    """Returns the message of the refusal; it is one line."""
    with pytest.raises(ArtifactError) as caught:
        load(folder, provider="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_folder(tmp_path: Path) -> None:
    """The path is named, and what was expected there."""
    with pytest.raises(ArtifactNotFoundError, match=r"no artifact at .*absent.*python -m export"):
        load(tmp_path / "absent")


def test_folder_without_manifest(tmp_path: Path) -> None:
    """A checkpoint folder, say."""
    with pytest.raises(FileNotFoundError, match=r"not an artifact: it has no litmus\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    "name", ["onnx/model.onnx", "tokenizer.json", "config.json", "README.md", "tokenizer_config.json"]
)
def test_flipped_byte(copy: Path, name: str) -> None:
    """One bit in any file is noticed."""
    flip_bit(copy / name)
    assert refusal(copy).startswith(f"{name}: its sha256 is not the one in the manifest")


def test_changed_manifest(copy: Path) -> None:
    """A label swapped by hand is noticed as surely as a weight."""
    path = copy / "litmus.json"
    path.write_text(path.read_text().replace('"calm"', '"calk"'))
    assert "was changed after the export" in refusal(copy)


def test_cut_file(copy: Path) -> None:
    """A copy that broke off has the wrong size."""
    path = copy / "onnx/model.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    assert "bytes, found" in refusal(copy)


def test_cut_manifest(copy: Path) -> None:
    """Half a manifest is no JSON."""
    path = copy / "litmus.json"
    path.write_text(path.read_text()[:200])
    assert "not valid JSON" in refusal(copy)


def test_missing_file(copy: Path) -> None:
    """Every listed file must be there."""
    (copy / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in refusal(copy)


def test_extra_file(copy: Path) -> None:
    """Nothing lies in an artifact that its manifest does not know."""
    (copy / "onnx/extra.bin").write_bytes(b"x")
    assert "'onnx/extra.bin' is not in the manifest" in refusal(copy)


def test_symbolic_link(copy: Path, tmp_path: Path) -> None:
    """A link may point anywhere later."""
    (copy / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (copy / "tokenizer.json").symlink_to(tmp_path / "tokenizer.json")
    assert "'tokenizer.json' is a symbolic link" in refusal(copy)


@pytest.mark.parametrize("name", ["onnx", "litmus.json"])
def test_symbolic_link_to_more_than_a_file(copy: Path, tmp_path: Path, name: str) -> None:
    """Neither a folder nor the manifest itself may be one."""
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    assert "is a symbolic link" in refusal(copy)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "onnx/../../outside.txt", "..\\outside.txt"])
def test_path_outside(copy: Path, name: str) -> None:
    """A manifest cannot make the runtime read elsewhere."""
    rewrite(copy, lambda fields: fields["files"].update({name: {"sha256": "0", "size_bytes": 0}}))
    assert "a path outside the artifact" in refusal(copy)


def test_model_outside(copy: Path) -> None:
    """Nor can a variant: its file must be a listed one, and a listed one lies inside."""
    rewrite(copy, lambda fields: fields["variants"][0].update(file="../model.onnx"))
    assert "variants.fp32: expected a listed file, found '../model.onnx'" in refusal(copy)


ENTRY = {"sha256": "0", "size_bytes": 0}
FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "file": lambda fields: fields["files"].update({"a\nb": ENTRY}),
    "variant": lambda fields: fields["variants"][0].update(file="a\nb"),
    "provider": lambda fields: fields["variants"][0].update(providers=["a\nb"]),
    "key": lambda fields: fields["metrics"].update({"a\nb": "high"}),
    "long key": lambda fields: fields["metrics"].update({"a" * 1000: "high"}),
    "schema": lambda fields: fields.update(schema_version="a\nb" * 1000),
}


@pytest.mark.parametrize("name", FORGED)
def test_names_do_not_write_the_log(copy: Path, name: str) -> None:
    """Whatever a manifest calls things, the message is one line of some length."""
    rewrite(copy, FORGED[name])
    assert len(refusal(copy)) < 300


def test_link_does_not_write_the_log(copy: Path) -> None:
    """Nor does what a file is called."""
    (copy / "a\nb").symlink_to("README.md")
    assert r"'a\nb' is a symbolic link" in refusal(copy)


def test_output_does_not_write_the_log(copy: Path) -> None:
    """Nor does what a model calls its logits."""

    def rename(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("Identity", ["logits"], ["a\nb"]))
        model.graph.output[0].name = "a\nb"

    change_model(copy, rename)
    assert "expected an output named 'logits', found ['a" in refusal(copy)


def test_other_schema(copy: Path) -> None:
    """A later major version may mean something else by the same words."""
    rewrite(copy, lambda fields: fields.update(schema_version="999.0"))
    assert "expected schema_version 1.x, found '999.0'" in refusal(copy)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("labels", "calm", "labels: expected list, found str"),
        ("labels", ["calm"], "labels: expected two labels or more, found 1"),
        ("labels", ["calm", "calm", "sad"], "labels: expected distinct names"),
        ("max_length", "48", "max_length: expected int, found str"),
        ("max_length", 1, "max_length: expected 3 to 1048576"),
        ("max_length", 2**64, "max_length: expected 3 to 1048576"),
        ("pad_token_id", 30522, "pad_token_id: expected an id of the vocabulary"),
        ("pad_token_id", -1, "pad_token_id: expected an id of the vocabulary"),
        ("labels", ["calm", "", "sad"], "labels: expected printable names"),
        ("labels", ["calm", "\ud800", "sad"], "labels: expected printable names"),
        ("labels", ["calm", "\u200d", "sad"], "labels: expected printable names"),
        ("abstain_below", 1.5, "abstain_below: expected a number from 0 to 1"),
        ("window", {"stride": -1, "aggregation": "mean"}, "window.stride: expected 1 to max_length"),
        ("min_onnxruntime", "x;y", "min_onnxruntime: expected a release such as 1.26.0, found 'x;y'"),
        ("golden", [{"text": "a", "scores": [1.0]}], "golden: expected a score per label"),
        ("temperature", 0, "temperature: expected 0.001 or more, found 0.0"),
        ("temperature", 10**400, "temperature: expected a finite number"),
        ("temperature", float("nan"), "temperature: expected a finite number"),
        ("thresholds", [0.5], "thresholds: expected null for single_label, found ("),
        ("thresholds", [], "thresholds: expected null for single_label, found ("),
        ("task", "regression", "task: expected single_label or multi_label, found 'regression'"),
        ("variants", [], "variants: expected one or more, found none"),
        ("vocab_size", 100, "tokenizer.json has the token id 30521, the model's embedding the ids 0 to 99"),
    ],
)
def test_wrong_field(copy: Path, field: str, value: object, expected: str) -> None:
    """Each field is checked for type and sense, and the message names it."""
    rewrite(copy, lambda fields: fields.update({field: value}))
    assert expected in refusal(copy)


def test_labels_with_joiners(copy: Path) -> None:
    """Persian words and emoji are made with them, and a terminal gets them whole."""
    labels = ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f692", "sad"]
    rewrite(copy, lambda fields: fields.update(labels=labels))
    assert list(load(copy, provider="cpu").labels) == labels
    assert printable(labels[0]) == labels[0]


def test_variant_without_provider(copy: Path) -> None:
    """There would be nothing to run it on."""
    rewrite(copy, lambda fields: fields["variants"][0].update(providers=[]))
    assert "variants.fp32.providers: expected one or more" in refusal(copy)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"schema_version": ' + "9" * 5000 + "}"], ids=["deep", "long number"]
)
def test_hostile_json(copy: Path, content: str) -> None:
    """What Python's parser itself refuses is a refusal, too."""
    (copy / "litmus.json").write_text(content)
    assert "not valid JSON" in refusal(copy)


def test_json_as_deep_as_python_goes() -> None:
    """There is a depth that Python reads and cannot write again for the digest."""
    for depth in range(sys.getrecursionlimit()):
        with pytest.raises(ArtifactError, match=r"digest does not match|not valid JSON"):
            Manifest.from_json('{"schema_version": "1.0", "deep": ' + "[" * depth + "1" + "]" * depth + "}")


def test_endless_number(copy: Path) -> None:
    """A protobuf number that never ends is refused at once, not after days."""
    (copy / "onnx/model.onnx").write_bytes(b"\xff" * 5_000_000)
    rewrite(copy)
    assert refusal(copy) == "model.onnx is not an ONNX model; export it again"


def test_older_onnxruntime(copy: Path) -> None:
    """The artifact says which release it was tested with; an older one is refused with both versions."""
    rewrite(copy, lambda fields: fields.update(min_onnxruntime="99.0"))
    with pytest.raises(DependencyError, match=r"needs onnxruntime 99\.0 or later, found 1\."):
        load(copy, provider="cpu")


def test_provider_that_is_not_here(copy: Path) -> None:
    """A variant for a device that this onnxruntime does not know."""
    rewrite(copy, lambda fields: fields["variants"][0].update(providers=["TpuExecutionProvider"]))
    with pytest.raises(ProviderError, match="the artifact has fp32 for TpuExecutionProvider; this onnxruntime has"):
        load(copy)


def test_path_that_is_not_utf8(copy: Path, tmp_path: Path) -> None:
    """Neither onnxruntime nor tokenizers can open it; a link with a better name does not help."""
    folder = copy.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        assert "is not UTF-8, or the locale is not" in refusal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(copy: Path) -> None:
    """Permissions are one line, too."""
    (copy / "tokenizer.json").chmod(0)
    assert "cannot read the artifact: Permission denied" in refusal(copy)


def test_name_that_no_disk_has(copy: Path) -> None:
    """What the operating system refuses is a refusal of ours."""
    rewrite(copy, lambda fields: fields["files"].update({"x" * 5000: {"sha256": "0", "size_bytes": 0}}))
    assert "cannot read the artifact: File name too long" in refusal(copy)


def test_external_data_in_a_constant(copy: Path) -> None:
    """Weights in another file are found wherever a tensor can be."""

    def hide(model: onnx.ModelProto) -> None:
        tensor = onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[1])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="model.onnx")
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["t"], value=tensor))

    change_model(copy, hide)
    assert "keeps weights in other files" in refusal(copy)


def test_fixed_batch(copy: Path) -> None:
    """A graph for exactly two texts fails at every other number; it is refused when it is loaded."""

    def fix(model: onnx.ModelProto) -> None:
        for node in model.graph.input:
            node.type.tensor_type.shape.dim[0].dim_value = 2

    change_model(copy, fix)
    assert "expected int64 of (batch, sequence), any number of both" in refusal(copy)


def test_file_that_does_not_run_is_checked_as_well(int8_copy: Path) -> None:
    """The fp32 model beside int8: another thread looks at it, and loading waits for what it finds."""
    flip_bit(int8_copy / "onnx/model.onnx")
    assert "onnx/model.onnx: its sha256 is not the one in the manifest" in refusal(int8_copy)
    threads = threading.active_count()
    flip_bit(int8_copy / "onnx/model_int8.onnx")
    assert "its sha256 is not the one in the manifest" in refusal(int8_copy)
    assert threading.active_count() == threads


def test_tokenizer_that_panics(copy: Path) -> None:
    """A Rust panic is no Exception in Python; it still is an error of ours."""
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    replace = {"type": "Replace", "pattern": {"Regex": "x*"}, "content": " "}
    content["normalizer"] = {"type": "Sequence", "normalizers": [replace, content["normalizer"]]}
    path.write_text(json.dumps(content))
    rewrite(copy)
    with pytest.raises(LitmusError, match="tokenizer"):
        load(copy, provider="cpu").predict("late")


def test_missing_field(copy: Path) -> None:
    """The message names the field."""
    rewrite(copy, lambda fields: fields.pop("window"))
    assert "none of: window" in refusal(copy)


def test_unknown_field_is_ignored(copy: Path) -> None:
    """A later minor version may add one."""
    rewrite(copy, lambda fields: fields.update(novelty=1, schema_version="1.7"))
    assert load(copy, provider="cpu").predict("late").label


def test_label_count(copy: Path) -> None:
    """Three logits for two labels."""
    rewrite(
        copy, lambda fields: fields.update(labels=["calm", "sad"], golden=[]) or fields["variants"][0].update(golden=[])
    )
    assert "expected tensor(float) of (batch, 2), one column per label" in refusal(copy)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"\x08\x0a"], ids=["html", "empty", "no graph"])
def test_not_a_model(copy: Path, content: bytes) -> None:
    """A file that only has the name of an ONNX model."""
    (copy / "onnx/model.onnx").write_bytes(content)
    rewrite(copy)
    assert refusal(copy) == "model.onnx is not an ONNX model; export it again"


def test_foreign_operator_domain(copy: Path) -> None:
    """Operators that onnxruntime does not bring along would need a library of somebody else's."""
    change_model(copy, add_foreign_domain)
    assert "model.onnx uses operators of the domain 'com.example'" in refusal(copy)


def test_external_data(copy: Path) -> None:
    """Weights in another file, which could be any file of the machine."""
    change_model(copy, point_outside)
    assert "keeps weights in other files" in refusal(copy)


def test_disguised_external_data(copy: Path) -> None:
    """A key with bits beyond the 32nd is one that nobody knows here, and external_data to onnxruntime."""
    disguised = bytearray(bytes_field(13, bytes_field(1, "location") + bytes_field(2, "README.md")))
    disguised[:1] = [disguised[0] | 0x80, 0x80, 0x80, 0x80, 0x10]
    with (copy / "onnx/model.onnx").open("ab") as file:
        file.write(bytes_field(7, bytes_field(5, bytes_field(8, "extra") + bytes(disguised))))
    rewrite(copy)
    assert refusal(copy) == "model.onnx is not an ONNX model; export it again"


def test_nan_weights(copy: Path) -> None:
    """NaN in the logits is an error, never a score."""

    def poison(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * float("nan"), tensor.name))

    change_model(copy, poison)
    with pytest.raises(InferenceError, match="NaN or infinite logits"):
        load(copy, provider="cpu").predict("late")


def test_graph_that_fails_at_run_time(copy: Path) -> None:
    """An embedding with too few rows is found when a text needs one that is not there."""

    def shrink(model: onnx.ModelProto) -> None:
        (tensor,) = (tensor for tensor in model.graph.initializer if list(tensor.dims) == [30522, 32])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:200], tensor.name))

    change_model(copy, shrink)
    with pytest.raises(InferenceError, match="onnxruntime failed on cpu: ") as caught:
        load(copy, provider="cpu").predict("late")
    assert "\n" not in str(caught.value)


def test_manifest_round_trip(artifact: Path) -> None:
    """What is read and written again is the same manifest."""
    content = (artifact / "litmus.json").read_text("utf-8")
    assert Manifest.from_json(content).to_json() == content


def test_every_refusal_is_a_litmus_error() -> None:
    """A caller needs one except clause."""
    assert issubclass(ArtifactError, LitmusError)
    assert issubclass(ArtifactError, ValueError)
