"""int8 on CPUs whose products saturate: how they are detected, and which options their sessions get."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime import InferenceError, load
from runtime.engine import inference_session
from runtime.engine.int8_check import int8_saturates
from runtime.engine.model_file import strip_weights, unshare_initializers

from ...damage import change_model

TEXTS = ["late", "The train was late again, and nobody said why.", "so it goes " * 20]
PRECISE = "session.x64quantprecision"
Level = onnxruntime.GraphOptimizationLevel


def multiplied(a: npt.NDArray[np.uint8], b: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Returns onnxruntime's integer product with a constant `b`."""
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, a.shape)],
        [helper.make_tensor_value_info("c", TensorProto.INT32, None)],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = Level.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"a": a})
    return np.asarray(found)


def test_check_agrees_with_numpy() -> None:
    """`int8_saturates` is true exactly if onnxruntime's product of large numbers differs from NumPy's."""
    generator = np.random.default_rng(7)
    a = generator.integers(200, 256, (32, 96)).astype(np.uint8)
    b = generator.integers(100, 128, (96, 48)).astype(np.int8)
    wrong = bool((multiplied(a, b) != a.astype(np.int32) @ b.astype(np.int32)).any())
    assert int8_saturates.__wrapped__() == wrong


def test_no_memory_for_the_check(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading raises InferenceError if onnxruntime has no memory for the check."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    monkeypatch.setattr(inference_session, "int8_saturates", int8_saturates.__wrapped__)
    with pytest.raises(InferenceError, match="not enough memory to start onnxruntime"):
        load(int8_artifact, provider="cpu", variant="int8")


@pytest.mark.parametrize(("wrong_by", "expected"), [(0, False), (-1, True)])
def test_one_wrong_sum_is_enough(monkeypatch: pytest.MonkeyPatch, wrong_by: int, expected: bool) -> None:
    """One wrong sum in the product means that the CPU saturates."""

    def run(_: object, inputs: dict[str, npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.int32]]:
        found = inputs["a"].astype(np.int32) @ np.full((inputs["a"].shape[1], 16), 127, np.int32)
        found[-1, -1] += wrong_by
        return [found]

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: SimpleNamespace(run=run))
    assert int8_saturates.__wrapped__() is expected


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[onnxruntime.SessionOptions]:
    """The options of every session that is created."""
    seen = []
    original = onnxruntime.InferenceSession

    def record(model: object, options: onnxruntime.SessionOptions, **settings: object) -> onnxruntime.InferenceSession:
        seen.append((options, settings))
        return original(model, options, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    return seen


def set_saturation(monkeypatch: pytest.MonkeyPatch, saturates: bool) -> None:
    """Makes `int8_saturates` return a fixed value."""
    monkeypatch.setattr(inference_session, "int8_saturates", lambda: saturates)


def test_exact_kernels_on_a_saturating_cpu(int8_artifact: Path, options: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saturating CPU gets exact kernels at the extended level, with the two slow fusions disabled."""
    set_saturation(monkeypatch, True)
    load(int8_artifact, provider="cpu", variant="int8")
    ((used, settings),) = options
    assert used.get_session_config_entry(PRECISE) == "1"
    assert used.graph_optimization_level == Level.ORT_ENABLE_EXTENDED
    assert settings["disabled_optimizers"] == ("SkipLayerNormFusion", "BiasGeluFusion")


@pytest.mark.parametrize(("variant", "saturates"), [("int8", False), ("fp32", True), ("fp32", False)])
def test_no_exact_kernels_on_other_cpus(
    int8_artifact: Path, options: list, monkeypatch: pytest.MonkeyPatch, variant: str, saturates: bool
) -> None:
    """Exact kernels are not selected on other CPUs, where they are ten times slower, nor for fp32."""
    set_saturation(monkeypatch, saturates)
    load(int8_artifact, provider="cpu", variant=variant)
    ((used, _),) = options
    assert used.graph_optimization_level == Level.ORT_DISABLE_ALL
    with pytest.raises(Exception, match=PRECISE):
        used.get_session_config_entry(PRECISE)


def test_fp32_skips_the_check(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of the fp32 variant does not run the check."""
    monkeypatch.setattr(inference_session, "int8_saturates", lambda: pytest.fail("the check ran for fp32"))
    load(int8_artifact, provider="cpu", variant="fp32")


def test_check_runs_once(int8_artifact: Path, options: list) -> None:
    """The check runs once, however many int8 sessions are created."""
    int8_saturates.cache_clear()
    for _ in range(3):
        load(int8_artifact, provider="cpu", variant="int8")
    assert len(options) == 4


def test_exact_kernels_give_the_same_logits(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact kernels give the same logits as the usual ones on a CPU where both are right."""
    found = []
    for saturates in (True, int8_saturates()):
        set_saturation(monkeypatch, saturates)
        found.append(load(int8_artifact, provider="cpu", variant="int8").logits(TEXTS))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def share_weights(model: onnx.ModelProto) -> None:
    """Makes layers of one shape read the same weights, as ALBERT's do, and names the last node like its weights."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    first: dict[tuple[int, ...], str] = {}
    again = []
    for node in model.graph.node:
        if node.op_type in ("MatMulIntegerToFloat", "QAttention"):
            own, node.input[1] = node.input[1], first.setdefault(shapes[node.input[1]], node.input[1])
            again += [node] * (node.input[1] != own)
    again[-1].name = again[-1].input[1]


def test_exact_kernels_with_shared_weights(int8_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact kernels work on weights that layers share, which `x64quantprecision` alone does not support."""
    change_model(int8_copy, share_weights, "onnx/model_int8.onnx")
    found = []
    for saturates in (True, int8_saturates()):
        set_saturation(monkeypatch, saturates)
        found.append(load(int8_copy, provider="cpu", variant="int8").logits(TEXTS))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_unshare_initializers(int8_copy: Path) -> None:
    """`unshare_initializers` gives every node its own copy of its initializers and changes nothing else."""
    path = int8_copy / "onnx/model_int8.onnx"
    change_model(int8_copy, share_weights, "onnx/model_int8.onnx")
    small = strip_weights(memoryview(path.read_bytes()), path.name)
    before, after = onnx.load_from_string(small), onnx.load_from_string(unshare_initializers(small))
    tensors = {tensor.name: tensor for tensor in after.graph.initializer}
    originals = {tensor.name: tensor for tensor in before.graph.initializer}
    read = [name for node in after.graph.node for name in node.input if name in tensors]
    assert len(read) == len(set(read))
    for old, new in zip(before.graph.node, after.graph.node, strict=True):
        for was, name in zip(old.input, new.input, strict=True):
            if was in originals:
                copy = onnx.TensorProto()
                copy.CopyFrom(tensors[name])
                copy.name = was
                assert copy == originals[was]
            else:
                assert name == was
        old.ClearField("input")
        new.ClearField("input")
        assert old == new
