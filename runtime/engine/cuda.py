"""How a session on CUDA is set up and run: a bound on its memory, IO binding, graphs.

A CUDA graph is recorded for one shape and then started as a whole, without the CPU launching each kernel. So texts that
come alone are padded to a length bucket, each bucket has its graph, and inputs and output stay where they were on the
device when it was recorded. Batches run without a graph. Unmeasured so far, for want of a GPU; what can be tested on a
CPU is.
"""

import threading
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .ort import onnxruntime

BUCKET = 32  # tokens; lengths are padded to a multiple of it
NO_GRAPH = "-1"

Inputs = Mapping[str, npt.NDArray[np.int64]]


def provider_options(memory_mb: int | None, *, graphs: bool) -> dict[str, str]:
    """Returns the options of onnxruntime's CUDA provider.

    Args:
        memory_mb: Most memory that the session takes for weights and activations, in MiB; None for no bound.
        graphs: Whether to record graphs.
    """
    options = {"enable_cuda_graph": "1"} if graphs else {}
    if memory_mb is not None:
        options |= {"gpu_mem_limit": str(memory_mb << 20), "arena_extend_strategy": "kSameAsRequested"}
    return options


def run_bound(
    session: onnxruntime.InferenceSession, inputs: Inputs, output: str, *, graphs: bool
) -> npt.NDArray[np.float32]:
    """Runs a batch of any shape; the copies to the device and back are queued with its kernels.

    Args:
        session: On CUDA.
        inputs: By name, each (batch, sequence) int64.
        output: Name of the logits.
        graphs: Whether the session records graphs, which this run must not.

    Returns:
        (batch, labels) float32.
    """
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output(output)
    session.run_with_iobinding(binding, _options(NO_GRAPH) if graphs else None)
    (logits,) = binding.copy_outputs_to_cpu()
    return np.asarray(logits, np.float32)


class Graphs:
    """A graph for each length bucket, for one text at a time; threads take turns."""

    def __init__(
        self, session: onnxruntime.InferenceSession, output: str, labels: int, *, longest: int, device: str
    ) -> None:
        """Records nothing yet: each graph is recorded by the first text of its bucket.

        Args:
            session: Made with `provider_options(graphs=True)`.
            output: Name of the logits.
            labels: Length of a row of logits.
            longest: Tokens that the model reads at most; the last bucket ends there.
            device: Where the buffers are, `cuda`.
        """
        self._session = session
        self._output = output
        self._labels = labels
        self._longest = longest
        self._device = device
        self._buckets: dict[int, _Bucket] = {}
        self._turn = threading.Lock()

    def run(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Runs one text.

        Args:
            inputs: By name, each (1, sequence) int64.

        Returns:
            (1, labels) float32.
        """
        length = next(iter(inputs.values())).shape[1]
        size = min(-(-length // BUCKET) * BUCKET, self._longest)
        padded = {name: np.pad(array, ((0, 0), (0, size - length))) for name, array in inputs.items()}
        with self._turn:
            if size not in self._buckets:
                self._buckets[size] = _Bucket(self._session, padded, self._output, self._labels, self._device)
            return self._buckets[size].run(padded)


class _Bucket:
    """Buffers on the device, bound for good."""

    def __init__(
        self, session: onnxruntime.InferenceSession, inputs: Inputs, output: str, labels: int, device: str
    ) -> None:
        self._session = session
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0) for name, array in inputs.items()
        }
        self._logits = onnxruntime.OrtValue.ortvalue_from_shape_and_type((1, labels), np.float32, device, 0)
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_ortvalue_output(output, self._logits)
        self._options = _options(str(next(iter(inputs.values())).shape[1]))

    def run(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        for name, array in inputs.items():
            self._inputs[name].update_inplace(array)
        self._session.run_with_iobinding(self._binding, self._options)
        return np.array(self._logits.numpy(), np.float32)


def _options(graph: str) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph)
    return options
