"""Collects per-channel statistics of the inputs of linear layers on calibration texts.

The texts run one by one, so that the statistics contain no padding.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime

from training.arrays import Floats

from ..errors import ExportError
from ..graph.layers import Linear, linears
from ..graph.variant_files import Inputs

TOKENS = 32  # per text at most, for mean and covariance
AT_ONCE = 1024


@dataclass(frozen=True)
class ActivationStats:
    """Statistics of one activation.

    Attributes:
        low: (texts, channels) float32. Minimum of each channel in each text.
        high: (texts, channels) float32. Maximum.
        mean: (channels,) float64, over the sampled tokens of all texts.
        covariance: (channels, channels) float64, as `mean`.
    """

    low: Floats
    high: Floats
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]


class _ActivationObserver:
    """Accumulates the statistics of one activation."""

    def __init__(self) -> None:
        self._low: list[Floats] = []
        self._high: list[Floats] = []
        self._rows: list[Floats] = []
        self._count = 0
        self._sum = self._products = np.zeros(1)

    def add(self, values: Floats) -> None:
        """Adds the values of a text, (sequence, channels) float32."""
        self._low.append(values.min(axis=0))
        self._high.append(values.max(axis=0))
        self._rows.append(values[:: -(-len(values) // TOKENS)])
        if sum(map(len, self._rows)) >= AT_ONCE:
            self._accumulate()

    def stats(self) -> ActivationStats:
        """Returns the statistics of all texts so far."""
        self._accumulate()
        mean = self._sum / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        return ActivationStats(np.stack(self._low), np.stack(self._high), mean, covariance)

    def _accumulate(self) -> None:
        """Adds the collected rows to the sums, many at once because every time adds a (channels, channels) matrix."""
        rows = np.concatenate(self._rows, dtype=np.float64) if self._rows else np.zeros((0, *self._low[0].shape))
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._products = self._products + rows.T @ rows
        self._rows = []


def collect_stats(model: ir.Model, texts: Iterable[Inputs], *, threads: int) -> dict[str, ActivationStats]:
    """Runs texts through a graph and collects the statistics of every input of a linear layer.

    Args:
        model: The fp32 graph; it is not changed.
        texts: Inputs of one text each, (1, sequence) int64.
        threads: Number of onnxruntime's threads.

    Returns:
        Statistics by the name of the activation.

    Raises:
        ExportError: An input of a layer has NaN or infinite values, or the graph fails on a text.
    """
    activations_by_name = {layer.input.name: layer.input for layer in linears(model.graph)}
    outputs = list(model.graph.outputs)
    model.graph.outputs.extend(value for value in activations_by_name.values() if not value.is_graph_output())
    try:
        content = ir.to_proto(model).SerializeToString()
    finally:
        model.graph.outputs[:] = outputs
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # its errors are raised, not printed
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = [node.name for node in session.get_inputs()]
    observers = {str(name): _ActivationObserver() for name in activations_by_name}
    for text in texts:
        activations = run(session, list(observers), {name: text[name] for name in inputs})
        for (name, observer), values in zip(observers.items(), activations, strict=True):
            if not np.isfinite(values).all():
                raise ExportError(
                    f"the graph gives NaN or infinite values on a calibration text, first in {name[:80]!r}; "
                    "train again, at a lower learning rate"
                )
            observer.add(values.reshape(-1, values.shape[-1]))
    return {name: observer.stats() for name, observer in observers.items()}


def run(session: onnxruntime.InferenceSession, outputs: Sequence[str] | None, inputs: Inputs) -> list[Floats]:
    """Runs a graph on a calibration text.

    Raises:
        ExportError: The graph fails. The message has the first line of onnxruntime's.
    """
    try:
        return list(session.run(outputs, dict(inputs)))
    except Exception as error:  # onnxruntime's classes derive from Exception alone
        reason = str(error).partition("\n")[0]
        raise ExportError(f"the graph fails on a calibration text: {reason}") from error


def merge_stats(stats: Mapping[str, ActivationStats], layers: Iterable[Linear]) -> ActivationStats:
    """Returns the statistics of the inputs of several layers as if they were one activation."""
    distinct = [stats[name] for name in dict.fromkeys(str(layer.input.name) for layer in layers)]
    if len(distinct) == 1:
        return distinct[0]
    return ActivationStats(
        np.concatenate([one.low for one in distinct]),
        np.concatenate([one.high for one in distinct]),
        np.mean([one.mean for one in distinct], axis=0),
        np.mean([one.covariance for one in distinct], axis=0),
    )
