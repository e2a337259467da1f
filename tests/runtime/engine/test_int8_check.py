"""int8 on CPUs whose products saturate: how they are found out, and what their sessions do about it."""

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
    """Returns onnxruntime's integer product of a constant `b`."""
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


def test_says_what_the_machine_does() -> None:
    """True exactly if this machine's product of large numbers is not NumPy's."""
    generator = np.random.default_rng(7)
    a = generator.integers(200, 256, (32, 96)).astype(np.uint8)
    b = generator.integers(100, 128, (96, 48)).astype(np.int8)
    wrong = bool((multiplied(a, b) != a.astype(np.int32) @ b.astype(np.int32)).any())
    assert int8_saturates.__wrapped__() == wrong


def test_no_memory_to_find_out(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where onnxruntime cannot even start, loading is an error that says so."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    monkeypatch.setattr(inference_session, "int8_saturates", int8_saturates.__wrapped__)
    with pytest.raises(InferenceError, match="not enough memory to start onnxruntime"):
        load(int8_artifact, provider="cpu", variant="int8")


@pytest.mark.parametrize(("wrong_by", "expected"), [(0, False), (-1, True)])
def test_one_wrong_sum_is_enough(monkeypatch: pytest.MonkeyPatch, wrong_by: int, expected: bool) -> None:
    """The sums of that model are known, and any other gives the machine away."""

    def run(_: object, inputs: dict[str, npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.int32]]:
        found = inputs["a"].astype(np.int32) @ np.full((inputs["a"].shape[1], 16), 127, np.int32)
        found[-1, -1] += wrong_by
        return [found]

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: SimpleNamespace(run=run))
    assert int8_saturates.__wrapped__() is expected


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[onnxruntime.SessionOptions]:
    """Collects the options of every session."""
    seen = []
    original = onnxruntime.InferenceSession

    def record(model: object, options: onnxruntime.SessionOptions, **settings: object) -> onnxruntime.InferenceSession:
        seen.append((options, settings))
        return original(model, options, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    return seen


def force(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    """Has the machine be one whose products saturate, or one whose products do not."""
    monkeypatch.setattr(inference_session, "int8_saturates", lambda: answer)


def test_precise_products_where_they_saturate(
    int8_artifact: Path, options: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy is an extended optimization; of those, the two slow fusions stay off."""
    force(monkeypatch, True)
    load(int8_artifact, provider="cpu", variant="int8")
    ((used, settings),) = options
    assert used.get_session_config_entry(PRECISE) == "1"
    assert used.graph_optimization_level == Level.ORT_ENABLE_EXTENDED
    assert settings["disabled_optimizers"] == ("SkipLayerNormFusion", "BiasGeluFusion")


@pytest.mark.parametrize(("variant", "answer"), [("int8", False), ("fp32", True), ("fp32", False)])
def test_no_remedy_where_none_is_needed(
    int8_artifact: Path, options: list, monkeypatch: pytest.MonkeyPatch, variant: str, answer: bool
) -> None:
    """It would cost a CPU with VNNI a factor of ten, and fp32 has nothing to saturate."""
    force(monkeypatch, answer)
    load(int8_artifact, provider="cpu", variant=variant)
    ((used, _),) = options
    assert used.graph_optimization_level == Level.ORT_DISABLE_ALL
    with pytest.raises(Exception, match=PRECISE):
        used.get_session_config_entry(PRECISE)


def test_fp32_does_not_ask(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it pay for the question."""
    monkeypatch.setattr(inference_session, "int8_saturates", lambda: pytest.fail("fp32 asked"))
    load(int8_artifact, provider="cpu", variant="fp32")


def test_the_machine_is_asked_once(int8_artifact: Path, options: list) -> None:
    """However many int8 sessions there are."""
    int8_saturates.cache_clear()
    for _ in range(3):
        load(int8_artifact, provider="cpu", variant="int8")
    assert len(options) == 4


def test_the_remedy_changes_no_answer(int8_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same integers, summed without saturating: both paths give the same logits where both are right."""
    found = []
    for answer in (True, int8_saturates()):
        force(monkeypatch, answer)
        found.append(load(int8_artifact, provider="cpu", variant="int8").logits(TEXTS))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def share_weights(model: onnx.ModelProto) -> None:
    """Has layers of one shape read the same weights, as ALBERT's do, and the last bear the name of what it reads."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    first: dict[tuple[int, ...], str] = {}
    again = []
    for node in model.graph.node:
        if node.op_type in ("MatMulIntegerToFloat", "QAttention"):
            own, node.input[1] = node.input[1], first.setdefault(shapes[node.input[1]], node.input[1])
            again += [node] * (node.input[1] != own)
    again[-1].name = again[-1].input[1]


def test_the_remedy_works_on_shared_weights(int8_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its own it fails at the second layer that reads them."""
    change_model(int8_copy, share_weights, "onnx/model_int8.onnx")
    found = []
    for answer in (True, int8_saturates()):
        force(monkeypatch, answer)
        found.append(load(int8_copy, provider="cpu", variant="int8").logits(TEXTS))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_separate_shares_nothing(int8_copy: Path) -> None:
    """Every node has initializers of its own, each is what the shared one was, and nothing else has changed."""
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
