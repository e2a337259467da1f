"""The contenders by name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ContenderSpec:
    """One contender.

    Attributes:
        module: Module that defines `load`.
        option: Passed to `load` in the request.
        peer: Folder under `peers/` whose environment the contender runs in; None for Litmus's own environment.
        prepares: Whether the module also defines `prepare`.
    """

    module: str
    option: str = ""
    peer: str | None = None
    prepares: bool = False


def _peer(name: str, option: str, module: str = "contender") -> ContenderSpec:
    """A contender that converts the checkpoint, in an environment of its own."""
    return ContenderSpec(f"benchmarks.peers.{name}.{module}", option, name, prepares=True)


LITMUS = "litmus"
CONTROL = "litmus-control"  # the same contender in another process: how far two equal contenders differ
LITMUS_FP32 = "litmus-fp32"
BASELINE = "pytorch-fp32"
PIPELINE = "pipeline"
OPTIMUM_PIPELINE = "optimum-int8-pipeline"

# The contenders of `python -m benchmarks report`: each library in the precisions that people choose between.
REPORTED = (
    LITMUS,
    CONTROL,
    LITMUS_FP32,
    BASELINE,
    "pytorch-bf16",
    PIPELINE,
    "optimum-fp32",
    "optimum-int8",
    "openvino-fp32",
    "openvino-bf16",
    "openvino-int8",
)

SERVICES = ("litmus", "echo", "fastapi-pipeline", "litserve")  # for `python -m benchmarks service`

CONTENDERS = {
    LITMUS: ContenderSpec("benchmarks.contenders.litmus"),
    CONTROL: ContenderSpec("benchmarks.contenders.litmus"),
    LITMUS_FP32: ContenderSpec("benchmarks.contenders.litmus", "fp32"),
    BASELINE: ContenderSpec("benchmarks.contenders.pytorch", "float32"),
    "pytorch-bf16": ContenderSpec("benchmarks.contenders.pytorch", "bfloat16"),
    "pytorch-compile": ContenderSpec("benchmarks.contenders.pytorch", "float32 cpu compile"),
    PIPELINE: ContenderSpec("benchmarks.contenders.pipeline"),
    "optimum-fp32": _peer("optimum", "fp32"),
    "optimum-int8": _peer("optimum", "int8"),
    OPTIMUM_PIPELINE: _peer("optimum", "int8", "pipeline"),
    "openvino-fp32": _peer("openvino", "f32"),
    "openvino-bf16": _peer("openvino", "bf16"),
    "openvino-int8": _peer("openvino", "int8"),
    "sentence-transformers-onnx": _peer("sentence_transformers", "fp32"),
    "sentence-transformers-int8": _peer("sentence_transformers", "int8"),
}
