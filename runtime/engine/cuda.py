"""CUDA: provider options and IO binding. Not measured on a GPU yet; the tests run it on the CPU."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .ort import onnxruntime

Inputs = Mapping[str, npt.NDArray[np.int64]]


def provider_options(memory_mb: int | None) -> dict[str, str]:
    """Returns the options of onnxruntime's CUDA provider.

    Args:
        memory_mb: Limit on GPU memory for weights and activations, in MiB; None for no limit.
    """
    if memory_mb is None:
        return {}
    return {"gpu_mem_limit": str(memory_mb << 20), "arena_extend_strategy": "kSameAsRequested"}


def run_bound(session: onnxruntime.InferenceSession, inputs: Inputs, output: str) -> npt.NDArray[np.float32]:
    """Runs a batch with IO binding, which queues the copies to and from the GPU together with the kernels.

    Args:
        session: A session on CUDA.
        inputs: Arrays by input name, each (batch, sequence) int64.
        output: Name of the logits.

    Returns:
        Logits, (batch, labels) float32.
    """
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output(output)
    session.run_with_iobinding(binding)
    (logits,) = binding.copy_outputs_to_cpu()
    return np.asarray(logits, np.float32)
