"""Loading an artifact: what is rejected, and that each message says what was found and what to do."""

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


def load_error(folder: Path) -> str:
    """Loads the artifact, which must fail, and returns the message of the error; it is one line."""
    with pytest.raises(ArtifactError) as caught:
        load(folder, provider="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_folder(tmp_path: Path) -> None:
    """The error for a folder that does not exist names its path and says what creates an artifact."""
    with pytest.raises(ArtifactNotFoundError, match=r"no artifact at .*absent.*python -m export"):
        load(tmp_path / "absent")


def test_folder_without_manifest(tmp_path: Path) -> None:
    """A folder without `litmus.json`, such as a checkpoint, is not an artifact."""
    with pytest.raises(FileNotFoundError, match=r"not an artifact: it has no litmus\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    "name", ["onnx/model.onnx", "tokenizer.json", "config.json", "README.md", "tokenizer_config.json"]
)
def test_flipped_bit(copy: Path, name: str) -> None:
    """One flipped bit in any file changes its hash, so the artifact is rejected."""
    flip_bit(copy / name)
    assert load_error(copy).startswith(f"{name}: its sha256 is not the one in the manifest")


def test_changed_manifest(copy: Path) -> None:
    """A label that was edited by hand does not match the manifest's own digest."""
    path = copy / "litmus.json"
    path.write_text(path.read_text().replace('"calm"', '"calk"'))
    assert "was changed after the export" in load_error(copy)


def test_truncated_file(copy: Path) -> None:
    """A model file that lost its last bytes is rejected because of its size."""
    path = copy / "onnx/model.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    assert "bytes, found" in load_error(copy)


def test_truncated_manifest(copy: Path) -> None:
    """A truncated manifest is not valid JSON."""
    path = copy / "litmus.json"
    path.write_text(path.read_text()[:200])
    assert "not valid JSON" in load_error(copy)


def test_missing_file(copy: Path) -> None:
    """An artifact is rejected if a file that its manifest lists is missing."""
    (copy / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in load_error(copy)


def test_extra_file(copy: Path) -> None:
    """An artifact is rejected if it has a file that its manifest does not list."""
    (copy / "onnx/extra.bin").write_bytes(b"x")
    assert "'onnx/extra.bin' is not in the manifest" in load_error(copy)


def test_symbolic_link(copy: Path, tmp_path: Path) -> None:
    """A file that is a symbolic link is rejected, because the link may lead elsewhere later."""
    (copy / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (copy / "tokenizer.json").symlink_to(tmp_path / "tokenizer.json")
    assert "'tokenizer.json' is a symbolic link" in load_error(copy)


@pytest.mark.parametrize("name", ["onnx", "litmus.json"])
def test_symbolic_link_to_folder_or_manifest(copy: Path, tmp_path: Path, name: str) -> None:
    """A folder of the artifact, or the manifest itself, may not be a symbolic link either."""
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    assert "is a symbolic link" in load_error(copy)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "onnx/../../outside.txt", "..\\outside.txt"])
def test_path_outside(copy: Path, name: str) -> None:
    """A manifest that lists a path outside the artifact is rejected."""
    rewrite(copy, lambda fields: fields["files"].update({name: {"sha256": "0", "size_bytes": 0}}))
    assert "a path outside the artifact" in load_error(copy)


def test_variant_outside(copy: Path) -> None:
    """A variant's file must be one that the manifest lists, so it cannot be outside the artifact."""
    rewrite(copy, lambda fields: fields["variants"][0].update(file="../model.onnx"))
    assert "variants.fp32: expected a listed file, found '../model.onnx'" in load_error(copy)


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
def test_long_and_multiline_names_in_the_manifest(copy: Path, name: str) -> None:
    """A name from the manifest never makes an error message long or puts a line break into it."""
    rewrite(copy, FORGED[name])
    assert len(load_error(copy)) < 300


def test_line_break_in_a_file_name(copy: Path) -> None:
    """The name of a file in the artifact is escaped in the error message."""
    (copy / "a\nb").symlink_to("README.md")
    assert r"'a\nb' is a symbolic link" in load_error(copy)


def test_line_break_in_an_output_name(copy: Path) -> None:
    """The name of a model's output is escaped in the error message."""

    def rename(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("Identity", ["logits"], ["a\nb"]))
        model.graph.output[0].name = "a\nb"

    change_model(copy, rename)
    assert "expected an output named 'logits', found ['a" in load_error(copy)


def test_unknown_schema_version(copy: Path) -> None:
    """A manifest with another major schema version is rejected, because its fields may have another meaning."""
    rewrite(copy, lambda fields: fields.update(schema_version="999.0"))
    assert "expected schema_version 1.x, found '999.0'" in load_error(copy)


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
        ("short_names", ["c", "s"], "short_names: expected 3, found 2"),
        ("short_names", ["c", "s", "c"], "short_names: expected distinct names, found a name twice"),
        ("short_names", ["c", "s", "\n"], "short_names: expected printable names"),
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
    """The type and range of each field are checked, and the message names the field."""
    rewrite(copy, lambda fields: fields.update({field: value}))
    assert expected in load_error(copy)


def test_labels_with_joiners(copy: Path) -> None:
    """Zero-width joiners, which Persian words and emoji need, are allowed in labels and printed as they are."""
    labels = ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f692", "sad"]
    rewrite(copy, lambda fields: fields.update(labels=labels))
    assert list(load(copy, provider="cpu").labels) == labels
    assert printable(labels[0]) == labels[0]


def test_variant_without_provider(copy: Path) -> None:
    """A variant without a provider is rejected."""
    rewrite(copy, lambda fields: fields["variants"][0].update(providers=[]))
    assert "variants.fp32.providers: expected one or more" in load_error(copy)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"schema_version": ' + "9" * 5000 + "}"], ids=["deep", "long number"]
)
def test_hostile_json(copy: Path, content: str) -> None:
    """JSON that Python's parser refuses, too deep or with too long a number, raises ArtifactError."""
    (copy / "litmus.json").write_text(content)
    assert "not valid JSON" in load_error(copy)


def test_nested_json_of_any_depth() -> None:
    """JSON nested to any depth raises ArtifactError, also where Python can read it but not write it for the digest."""
    for depth in range(sys.getrecursionlimit()):
        with pytest.raises(ArtifactError, match=r"digest does not match|not valid JSON"):
            Manifest.from_json('{"schema_version": "1.0", "deep": ' + "[" * depth + "1" + "]" * depth + "}")


def test_varint_without_end(copy: Path) -> None:
    """A protobuf number without an end is rejected at once; reading it all would take days."""
    (copy / "onnx/model.onnx").write_bytes(b"\xff" * 5_000_000)
    rewrite(copy)
    assert load_error(copy) == "model.onnx is not an ONNX model; export it again"


def test_older_onnxruntime(copy: Path) -> None:
    """An onnxruntime that is older than the artifact needs is an error with both versions."""
    rewrite(copy, lambda fields: fields.update(min_onnxruntime="99.0"))
    with pytest.raises(DependencyError, match=r"needs onnxruntime 99\.0 or later, found 1\."):
        load(copy, provider="cpu")


def test_unavailable_provider(copy: Path) -> None:
    """A variant for a provider that this onnxruntime does not have cannot be loaded."""
    rewrite(copy, lambda fields: fields["variants"][0].update(providers=["TpuExecutionProvider"]))
    with pytest.raises(ProviderError, match="the artifact has fp32 for TpuExecutionProvider; this onnxruntime has"):
        load(copy)


def test_path_that_is_not_utf8(copy: Path, tmp_path: Path) -> None:
    """A path that is not UTF-8, which onnxruntime and tokenizers cannot open, is rejected, also behind a link."""
    folder = copy.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        assert "is not UTF-8, or the locale is not" in load_error(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(copy: Path) -> None:
    """A file without read permission raises ArtifactError with the reason."""
    (copy / "tokenizer.json").chmod(0)
    assert "cannot read the artifact: Permission denied" in load_error(copy)


def test_file_name_too_long(copy: Path) -> None:
    """An error of the operating system about a listed name becomes an ArtifactError."""
    rewrite(copy, lambda fields: fields["files"].update({"x" * 5000: {"sha256": "0", "size_bytes": 0}}))
    assert "cannot read the artifact: File name too long" in load_error(copy)


def test_external_data_in_a_constant(copy: Path) -> None:
    """Weights in another file are detected in the attributes of nodes as well."""

    def hide(model: onnx.ModelProto) -> None:
        tensor = onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[1])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="model.onnx")
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["t"], value=tensor))

    change_model(copy, hide)
    assert "keeps weights in other files" in load_error(copy)


def test_fixed_batch_size(copy: Path) -> None:
    """A graph with a fixed batch size is rejected at load, because it fails with any other number of texts."""

    def fix(model: onnx.ModelProto) -> None:
        for node in model.graph.input:
            node.type.tensor_type.shape.dim[0].dim_value = 2

    change_model(copy, fix)
    assert "expected int64 of (batch, sequence), any number of both" in load_error(copy)


def test_unused_model_is_checked(int8_copy: Path) -> None:
    """A changed file of a variant that does not run is found in the background, and loading waits for the check."""
    flip_bit(int8_copy / "onnx/model.onnx")
    assert "onnx/model.onnx: its sha256 is not the one in the manifest" in load_error(int8_copy)
    threads = threading.active_count()
    flip_bit(int8_copy / "onnx/model_int8.onnx")
    assert "its sha256 is not the one in the manifest" in load_error(int8_copy)
    assert threading.active_count() == threads


def test_tokenizer_that_panics(copy: Path) -> None:
    """A Rust panic in tokenizers, which is not an Exception in Python, becomes a LitmusError."""
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    replace = {"type": "Replace", "pattern": {"Regex": "x*"}, "content": " "}
    content["normalizer"] = {"type": "Sequence", "normalizers": [replace, content["normalizer"]]}
    path.write_text(json.dumps(content))
    rewrite(copy)
    with pytest.raises(LitmusError, match="tokenizer"):
        load(copy, provider="cpu").predict("late")


def test_missing_field(copy: Path) -> None:
    """The message about a missing field names the field."""
    rewrite(copy, lambda fields: fields.pop("window"))
    assert "none of: window" in load_error(copy)


def test_artifact_of_an_earlier_minor_version(copy: Path) -> None:
    """An artifact of schema 1.0 has no short names, and is loaded."""
    rewrite(copy, lambda fields: fields.pop("short_names") or fields.update(schema_version="1.0"))
    assert load(copy, provider="cpu").manifest.short_names is None


def test_unknown_field_is_ignored(copy: Path) -> None:
    """A field that a later minor version of the schema adds is ignored."""
    rewrite(copy, lambda fields: fields.update(novelty=1, schema_version="1.7"))
    assert load(copy, provider="cpu").predict("late").label


def test_wrong_number_of_logits(copy: Path) -> None:
    """A model with three logits is rejected if the manifest has two labels."""
    rewrite(
        copy, lambda fields: fields.update(labels=["calm", "sad"], golden=[]) or fields["variants"][0].update(golden=[])
    )
    assert "expected tensor(float) of (batch, 2), one column per label" in load_error(copy)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"\x08\x0a"], ids=["html", "empty", "no graph"])
def test_not_a_model(copy: Path, content: bytes) -> None:
    """A file that is not an ONNX model is rejected, although its hash is right."""
    (copy / "onnx/model.onnx").write_bytes(content)
    rewrite(copy)
    assert load_error(copy) == "model.onnx is not an ONNX model; export it again"


def test_foreign_operator_domain(copy: Path) -> None:
    """Operators of an unknown domain are rejected, because they would need a custom library."""
    change_model(copy, add_foreign_domain)
    assert "model.onnx uses operators of the domain 'com.example'" in load_error(copy)


def test_external_data(copy: Path) -> None:
    """A model with weights in another file, which could be any file of the machine, is rejected."""
    change_model(copy, point_outside)
    assert "keeps weights in other files" in load_error(copy)


def test_disguised_external_data(copy: Path) -> None:
    """A protobuf key of more than 32 bits, which onnxruntime would read as `external_data`, is rejected."""
    disguised = bytearray(bytes_field(13, bytes_field(1, "location") + bytes_field(2, "README.md")))
    disguised[:1] = [disguised[0] | 0x80, 0x80, 0x80, 0x80, 0x10]
    with (copy / "onnx/model.onnx").open("ab") as file:
        file.write(bytes_field(7, bytes_field(5, bytes_field(8, "extra") + bytes(disguised))))
    rewrite(copy)
    assert load_error(copy) == "model.onnx is not an ONNX model; export it again"


def test_nan_weights(copy: Path) -> None:
    """NaN in the logits raises InferenceError and never becomes a score."""

    def poison(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * float("nan"), tensor.name))

    change_model(copy, poison)
    with pytest.raises(InferenceError, match="NaN or infinite logits"):
        load(copy, provider="cpu").predict("late")


def test_graph_that_fails_during_inference(copy: Path) -> None:
    """An embedding with too few rows raises InferenceError when a text needs a missing row."""

    def shrink(model: onnx.ModelProto) -> None:
        (tensor,) = (tensor for tensor in model.graph.initializer if list(tensor.dims) == [30522, 32])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:200], tensor.name))

    change_model(copy, shrink)
    with pytest.raises(InferenceError, match="onnxruntime failed on cpu: ") as caught:
        load(copy, provider="cpu").predict("late")
    assert "\n" not in str(caught.value)


def test_manifest_round_trip(artifact: Path) -> None:
    """A manifest that is read and written again is unchanged."""
    content = (artifact / "litmus.json").read_text("utf-8")
    assert Manifest.from_json(content).to_json() == content


def test_artifact_error_classes() -> None:
    """ArtifactError is both a LitmusError and a ValueError."""
    assert issubclass(ArtifactError, LitmusError)
    assert issubclass(ArtifactError, ValueError)
