"""The contenders by name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ContenderSpec:
    """One contender.

    Attributes:
        module: Module that defines `load`.
        option: Passed to `load` in the request.
        peer: Folder under `peers/` whose environment the contender runs in; None for Litmus's own environment.
    """

    module: str
    option: str = ""
    peer: str | None = None


LITMUS = "litmus"
LITMUS_FP32 = "litmus-fp32"
BASELINE = "pytorch-fp32"
PIPELINE = "pipeline"
OPTIMUM_PIPELINE = "optimum-int8-pipeline"

SERVICES = ("litmus", "echo", "fastapi-pipeline", "litserve")  # for `python -m benchmarks service`

CONTENDERS = {
    LITMUS: ContenderSpec("benchmarks.contenders.litmus"),
    LITMUS_FP32: ContenderSpec("benchmarks.contenders.litmus", "fp32"),
    BASELINE: ContenderSpec("benchmarks.contenders.pytorch", "float32"),
    "pytorch-bf16": ContenderSpec("benchmarks.contenders.pytorch", "bfloat16"),
    PIPELINE: ContenderSpec("benchmarks.contenders.pipeline"),
    "optimum-fp32": ContenderSpec("benchmarks.peers.optimum.contender", "fp32", "optimum"),
    "optimum-int8": ContenderSpec("benchmarks.peers.optimum.contender", "int8", "optimum"),
    OPTIMUM_PIPELINE: ContenderSpec("benchmarks.peers.optimum.pipeline", "int8", "optimum"),
    "openvino-bf16": ContenderSpec("benchmarks.peers.openvino.contender", "bf16", "openvino"),
    "openvino-int8": ContenderSpec("benchmarks.peers.openvino.contender", "int8", "openvino"),
}
