"""`python -m runtime.verify`: what it looks at, what it refuses, and how near is near enough."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from runtime import ArtifactError, Classifier, ProviderError, load
from runtime.artifact.manifest import Manifest
from runtime.verify import MAX_DRIFT, MEAN_DRIFT, main, parse_args, verify

from ..damage import (
    add_foreign_domain,
    change_model,
    flip_bit,
    point_outside,
    rewrite,
    rewrite_json,
    rewrite_variant,
)

INT8, FP16 = "onnx/model_int8.onnx", "onnx/model_fp16.onnx"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
pytestmark = pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="says what a machine without says"
)


def statuses(folder: Path) -> dict[tuple[str, str], str]:
    """Returns each variant's status by provider."""
    return {(outcome.variant, outcome.provider): outcome.status for outcome in verify(folder).outcomes}


def failure(folder: Path) -> str:
    """Returns the one failure of an artifact whose other variants are good."""
    (outcome,) = verify(folder).failures
    assert "\n" not in str(outcome)
    return str(outcome)


def test_every_variant_has_an_outcome(int8_artifact: Path) -> None:
    """What can run here is good; what needs a device that is not here says so and does not fail."""
    assert statuses(int8_artifact) == {
        ("fp32", CUDA): "skipped",
        ("fp32", CPU): "passed",
        ("int8", CPU): "passed",
        ("fp16", CUDA): "skipped",
    }
    report = verify(int8_artifact)
    assert report.failures == ()
    assert {str(outcome) for outcome in report.outcomes if outcome.status == "skipped"} == {
        f"fp32 on {CUDA}: skipped: needs {CUDA}",
        f"fp16 on {CUDA}: skipped: needs {CUDA}",
    }
    assert all(outcome.max_difference < 1e-4 for outcome in report.outcomes if outcome.max_difference is not None)


def test_command(int8_artifact: Path) -> None:
    """A line for the files, one for each model, one for each variant on each provider; exit status 0."""
    line = [sys.executable, "-m", "runtime.verify", str(int8_artifact)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    files, *models = done.stdout.splitlines()[:4]
    assert files.startswith("files: passed: 7 files, ")
    assert [model.partition(":")[0] for model in models] == ["onnx/model.onnx", FP16, INT8]
    assert len(done.stdout.splitlines()) == 8
    assert f"int8 on {CPU}: passed: 10 of 10 have the recorded labels, largest difference of a score " in done.stdout


def test_command_on_a_bad_artifact(int8_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The good lines on stdout, one error line on stderr, exit status 1."""
    shift(int8_copy, "int8", 1.0)
    assert main([str(int8_copy)]) == 1
    captured = capsys.readouterr()
    assert f"fp32 on {CPU}: passed: " in captured.out
    assert captured.err.startswith(f"error: int8 on {CPU}: failed: golden scores differ: ")
    assert captured.err.count("\n") == 1


def test_command_that_nobody_reads(int8_copy: Path) -> None:
    """The exit status is that of the artifact also where `| true` has closed the output."""
    shift(int8_copy, "int8", 1.0)
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "runtime.verify", str(int8_copy)]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: int8 on {CPU}: failed: ")
    assert done.stderr.count("\n") == 1


def test_command_on_damage(int8_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the error if the files are not those that were exported."""
    flip_bit(int8_copy / FP16)
    assert main([str(int8_copy)]) == 1
    assert capsys.readouterr() == (
        "",
        f"error: {FP16}: its sha256 is not the one in the manifest, so the file was changed; "
        "copy the artifact again, or export it again\n",
    )


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--provider", "tpu"]])
def test_wrong_calls(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the usage."""
    with pytest.raises(SystemExit, match="2"):
        parse_args(arguments)
    assert "usage: python -m runtime.verify" in capsys.readouterr().err


def nan_scales(model: onnx.ModelProto) -> None:
    """Has every fp32 number of a quantized graph be none."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32("nan"), tensor.name))


def rename_output(model: onnx.ModelProto) -> None:
    """Calls the logits something else."""
    for node in model.graph.node:
        node.output[:] = ["scores" if output == "logits" else output for output in node.output]
    model.graph.output[0].name = "scores"


def set_labels(model: onnx.ModelProto) -> None:
    """Has the graph compute logits of two labels."""
    rename_output(model)
    model.graph.initializer.append(onnx.helper.make_tensor("two", onnx.TensorProto.INT64, [2], [0, 1]))
    model.graph.node.append(onnx.helper.make_node("Gather", ["scores", "two"], ["logits"], axis=1))
    model.graph.output[0].name = "logits"
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2


def exchange_tokens(content: dict[str, dict[str, dict[str, int]]]) -> None:
    """Gives all words other ids: another model's tokenizer, with as many tokens."""
    vocabulary = content["model"]["vocab"]
    words = [word for word, index in vocabulary.items() if index > 1000]
    for word, index in zip(words, reversed([vocabulary[word] for word in words]), strict=True):
        vocabulary[word] = index


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "byte of the model that runs": (lambda a: flip_bit(a / INT8), f"{INT8}: its sha256 is not the one in the manifest"),
    "byte of a model that does not": (lambda a: flip_bit(a / FP16), f"{FP16}: its sha256 is not the one"),
    "byte of the manifest": (lambda a: flip_bit(a / "litmus.json"), "litmus.json "),
    "model cut": (lambda a: (a / INT8).write_bytes((a / INT8).read_bytes()[:-1]), f"{INT8}: expected "),
    "model missing": (lambda a: (a / FP16).unlink(), f"{FP16} is missing"),
    "model more": (lambda a: shutil.copy(a / FP16, a / "onnx/model_q4.onnx"), "'onnx/model_q4.onnx' is not in the man"),
    "model linked": (lambda a: (a / "onnx/a.onnx").symlink_to(a / FP16), "'onnx/a.onnx' is a symbolic link"),
    "model twice": (
        lambda a: rewrite_variant(a, "fp16", name="int8"),
        "variants: expected each once, found int8 twice",
    ),
    "golden rows": (lambda a: rewrite_variant(a, "int8", golden=[]), "variants.int8.golden: expected as many as texts"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_by_load_and_verify(int8_copy: Path, name: str) -> None:
    """In the same words, whichever variant it hits."""
    damage, expected = DAMAGE[name]
    damage(int8_copy)
    messages = []
    for door in (load, verify):
        with pytest.raises(ArtifactError) as caught:
            door(int8_copy)
        messages.append(str(caught.value))
    assert messages[0].startswith(expected) or expected in messages[0]
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]


HIDDEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "foreign operators": (lambda a: change_model(a, add_foreign_domain, FP16), "model_fp16.onnx uses operators of the"),
    "weights elsewhere": (
        lambda a: change_model(a, point_outside, FP16),
        "model_fp16.onnx keeps weights in other file",
    ),
    "no model": (lambda a: (a / FP16).write_bytes(b"x") and rewrite(a), "model_fp16.onnx is not an ONNX model"),
    "foreign code": (
        lambda a: rewrite_json(a, "config.json", lambda c: c.update(auto_map={"AutoModel": "x--y.Z"})),
        "config.json has 'auto_map', which makes transformers run code from the checkpoint",
    ),
    "foreign kernel, nested": (
        lambda a: rewrite_json(a, "config.json", lambda c: c.update(text={"_attn_implementation_internal": "x/y"})),
        "config.json has '_attn_implementation_internal', which makes",
    ),
    "labels in another order": (
        lambda a: rewrite(a, lambda f: f.update(labels=f["labels"][::-1])),
        "config.json: id2label has other labels than the manifest",
    ),
    "config that is no JSON": (lambda a: (a / "config.json").write_text("{") and rewrite(a), "config.json is not JSON"),
    "no golden texts": (
        lambda a: rewrite(a, lambda f: f.update(golden=[]) or [v.update(golden=[]) for v in f["variants"]]),
        "the artifact has no golden texts to compare",
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_only_verify_looks_at(int8_copy: Path, name: str) -> None:
    """What loading does not read, because it runs another variant and never reads config.json, is refused here."""
    damage, expected = HIDDEN[name]
    damage(int8_copy)
    assert load(int8_copy, provider="cpu").predict("late").label
    with pytest.raises(ArtifactError, match=expected):
        verify(int8_copy)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "scores": (lambda a: shift(a, "int8", 1.0), f"int8 on {CPU}: failed: golden scores differ: "),
    "NaN weights": (lambda a: change_model(a, nan_scales, INT8), f"int8 on {CPU}: failed: the model gave NaN"),
    "three labels, two logits": (
        lambda a: change_model(a, set_labels, INT8),
        f"int8 on {CPU}: failed: {INT8}: logits is tensor(float) of shape ",
    ),
    "no output of that name": (
        lambda a: change_model(a, rename_output, INT8),
        f"int8 on {CPU}: failed: {INT8}: expected an output named 'logits', found ['scores']",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_variant_is_wrong(int8_copy: Path, name: str) -> None:
    """The failure names it, and the others are checked all the same."""
    damage, expected = WRONG[name]
    damage(int8_copy)
    assert failure(int8_copy).startswith(expected)
    assert statuses(int8_copy)["fp32", CPU] == "passed"


def test_messages_are_distinct() -> None:
    """Whoever reads one knows which of the damages it is."""
    messages = [expected for _, expected in (DAMAGE | HIDDEN | WRONG).values()]
    for message in messages:
        assert [other for other in messages if other.startswith(message)] == [message]


def test_other_models_tokenizer(int8_copy: Path) -> None:
    """With as many tokens it loads; its golden scores are others."""
    rewrite_json(int8_copy, "tokenizer.json", exchange_tokens)
    assert load(int8_copy).predict("late").label
    assert "fp32" in [outcome.variant for outcome in verify(int8_copy).failures]


def recorded(folder: Path, name: str) -> npt.NDArray[np.float64]:
    """Returns the golden scores that a variant has to reproduce."""
    manifest = Manifest.from_json((folder / "litmus.json").read_text())
    if name == "fp32":
        return np.array([golden.scores for golden in manifest.golden])
    (golden,) = (variant.golden for variant in manifest.variants if variant.name == name)
    return np.array(golden)


def shift(folder: Path, name: str, by: float | npt.NDArray[np.float64]) -> None:
    """Shifts the log odds that are recorded for a variant."""
    scores = recorded(folder, name)
    shifted = 1 / (1 + np.exp(-np.log(scores / (1 - scores)) - by))
    rewrite_variant(folder, name, golden=shifted.tolist())


@pytest.mark.parametrize(("part", "good"), [(0.9, True), (1.1, False), (-1.1, False)])
def test_mean_drift(int8_copy: Path, part: float, good: bool) -> None:
    """int8 may differ by some steps on another processor; on average by no more than measured."""
    shift(int8_copy, "int8", part * MEAN_DRIFT)
    assert (verify(int8_copy).failures == ()) == good


@pytest.mark.parametrize(("part", "good"), [(0.9, True), (1.1, False)])
def test_largest_drift(int8_copy: Path, part: float, good: bool) -> None:
    """Nor may one score alone, which the mean would hide."""
    one = np.zeros_like(recorded(int8_copy, "int8"))
    one[-1, 0] = part * MAX_DRIFT
    assert one.mean() < MEAN_DRIFT / 2
    shift(int8_copy, "int8", one)
    assert (verify(int8_copy).failures == ()) == good


@pytest.mark.parametrize(("by", "good"), [(8e-5, True), (1.2e-4, False)])
def test_fp32_scores(int8_copy: Path, by: float, good: bool) -> None:
    """fp32 computes the same everywhere, within 1e-4 of PyTorch's scores."""

    def change(fields: dict[str, list[dict[str, list[float]]]]) -> None:
        fields["golden"][0]["scores"][0] += by

    rewrite(int8_copy, change)
    assert (verify(int8_copy).failures == ()) == good


def test_a_confident_score_is_no_large_drift(int8_copy: Path) -> None:
    """Next to 0 and 1 float32 has no digits left, and log odds would differ by any amount."""
    for name in ("fp32", "int8"):
        assert ((recorded(int8_copy, name) > 1e-6) & (recorded(int8_copy, name) < 1 - 1e-6)).all()
    rewrite(int8_copy, lambda fields: fields.update(temperature=0.001))
    scores = [load(int8_copy, variant="int8").predict(text).scores for text in golden_texts(int8_copy)]
    moved = [[min(1.0, score + 1e-7) for score in row.values()] for row in scores]
    rewrite_variant(int8_copy, "int8", golden=moved)
    assert [outcome.variant for outcome in verify(int8_copy).failures] == ["fp32"]


def golden_texts(folder: Path) -> list[str]:
    """Returns an artifact's golden texts."""
    return [golden.text for golden in Manifest.from_json((folder / "litmus.json").read_text()).golden]


def depend_on_the_batch(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """Has logits change if there are several texts."""
    original = Classifier.logits
    monkeypatch.setattr(
        Classifier,
        "logits",
        lambda self, texts: original(self, texts) + np.float32(by * (len(texts) > 1) * np.eye(3)[0]),
    )


def test_static_int8_gives_the_very_same_logits_in_a_batch(int8_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is good enough for fp32 is not for int8 with fixed scales, which promises more."""
    depend_on_the_batch(monkeypatch, 5e-6)
    assert failure(int8_copy).startswith(f"int8 on {CPU}: failed: logits in a batch differ from those alone, by up to ")


def test_fp32_is_compared_in_a_batch(int8_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the same 1e-4 of the recorded scores."""
    depend_on_the_batch(monkeypatch, 0.1)
    assert [outcome.variant for outcome in verify(int8_copy).failures] == ["fp32", "int8"]


def test_dynamic_int8_may_depend_on_the_batch(int8_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scales are those of the whole batch, so that only single texts can be compared."""
    rewrite_variant(int8_copy, "int8", quantization={"method": "dynamic"})
    depend_on_the_batch(monkeypatch, 0.5)
    assert [outcome.variant for outcome in verify(int8_copy).failures] == ["fp32"]
    shift(int8_copy, "int8", 1.0)
    assert [outcome.variant for outcome in verify(int8_copy).failures] == ["fp32", "int8"]


def test_asked_for_provider_must_be_here(int8_artifact: Path) -> None:
    """`--provider cuda` on a machine without is an error and not an empty report."""
    with pytest.raises(ProviderError, match=r"'cuda' is not in this onnxruntime"):
        verify(int8_artifact, provider="cuda")
    with pytest.raises(ProviderError, match="unknown provider 'tpu'"):
        verify(int8_artifact, provider="tpu")  # type: ignore[arg-type]


def test_nothing_that_runs_here_is_an_error(int8_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command does not call an artifact for CUDA alone good where nothing of it was run."""
    rewrite(int8_copy, lambda fields: [variant.update(providers=[CUDA]) for variant in fields["variants"]])
    assert main([str(int8_copy)]) == 1
    expected = f"error: no variant runs here, nothing was compared: fp32 on {CUDA}: skipped: needs {CUDA}; "
    assert capsys.readouterr().err.startswith(expected)


def test_cuda_that_does_not_start(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu lists CUDA on machines that have none: not run, and why; a failure if it was asked for."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    found = {(outcome.variant, outcome.provider): str(outcome) for outcome in verify(int8_artifact).outcomes}
    assert found["fp16", CUDA].startswith(f"fp16 on {CUDA}: skipped: {CUDA} did not start on this machine")
    assert [outcome.variant for outcome in verify(int8_artifact, provider="cuda").failures] == ["fp32", "fp16"]


def test_provider_that_nobody_knows(int8_copy: Path) -> None:
    """A later version may add some; this one cannot run them."""
    rewrite_variant(int8_copy, "fp16", providers=["TpuExecutionProvider"])
    assert statuses(int8_copy)["fp16", "TpuExecutionProvider"] == "skipped"
    assert json.loads((int8_copy / "litmus.json").read_text())["variants"]
