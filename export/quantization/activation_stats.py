"""Observes what the linear layers of a graph read, on calibration texts: the ground for fixed int8 scales.

Texts are run one by one, so that no padding is ever observed.
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

TOKENS = 32  # of a text at most, for the covariance
AT_ONCE = 1024


@dataclass(frozen=True)
class ActivationStats:
    """The values of one activation, channel by channel.

    Attributes:
        low: (texts, channels) float32, the least value of a channel in a text.
        high: (texts, channels) float32, the greatest.
        mean: (channels,) float64.
        covariance: (channels, channels) float64.
    """

    low: Floats
    high: Floats
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]


class _ActivationObserver:
    """Sums up what one activation is, text by text."""

    def __init__(self) -> None:
        self._low: list[Floats] = []
        self._high: list[Floats] = []
        self._rows: list[Floats] = []
        self._count = 0
        self._sum = self._products = np.zeros(1)

    def note(self, values: Floats) -> None:
        """Adds a text's values, (sequence, channels)."""
        self._low.append(values.min(axis=0))
        self._high.append(values.max(axis=0))
        self._rows.append(values[:: -(-len(values) // TOKENS)])
        if sum(map(len, self._rows)) >= AT_ONCE:
            self._add()

    def observed(self) -> ActivationStats:
        """Returns what was noted."""
        self._add()
        mean = self._sum / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        return ActivationStats(np.stack(self._low), np.stack(self._high), mean, covariance)

    def _add(self) -> None:
        """Many rows at once, because a matrix as wide as the layer is added to another each time."""
        rows = np.concatenate(self._rows, dtype=np.float64) if self._rows else np.zeros((0, *self._low[0].shape))
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._products = self._products + rows.T @ rows
        self._rows = []


def collect_stats(model: ir.Model, texts: Iterable[Inputs], *, threads: int) -> dict[str, ActivationStats]:
    """Runs texts through a graph and notes the range of every channel that a linear layer reads.

    Args:
        model: The fp32 graph; left as it is.
        texts: The graph's inputs for one text each, (1, sequence) int64.
        threads: Threads of onnxruntime.

    Returns:
        What was observed, by the name of the activation.

    Raises:
        ExportError: There is NaN or infinity in what a layer reads, or the graph fails on a text.
    """
    watched = {layer.input.name: layer.input for layer in linears(model.graph)}
    outputs = list(model.graph.outputs)
    model.graph.outputs.extend(value for value in watched.values() if not value.is_graph_output())
    try:
        content = ir.to_proto(model).SerializeToString()
    finally:
        model.graph.outputs[:] = outputs
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # its errors become ours
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    read = [node.name for node in session.get_inputs()]
    watches = {str(name): _ActivationObserver() for name in watched}
    for text in texts:
        found = run(session, list(watches), {name: text[name] for name in read})
        for (name, watch), values in zip(watches.items(), found, strict=True):
            if not np.isfinite(values).all():
                raise ExportError(
                    f"the graph gives NaN or infinite numbers on a calibration text, first in {name[:80]!r}"
                )
            watch.note(values.reshape(-1, values.shape[-1]))
    return {name: watch.observed() for name, watch in watches.items()}


def run(session: onnxruntime.InferenceSession, outputs: Sequence[str] | None, inputs: Inputs) -> list[Floats]:
    """Runs a graph on a calibration text.

    Raises:
        ExportError: It fails; onnxruntime's first line says why.
    """
    try:
        return list(session.run(outputs, dict(inputs)))
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        reason = str(error).partition("\n")[0]
        raise ExportError(f"the graph fails on a calibration text: {reason}") from error


def merge_stats(observed: Mapping[str, ActivationStats], layers: Iterable[Linear]) -> ActivationStats:
    """Returns what several layers read as if it were one activation."""
    seen = [observed[name] for name in dict.fromkeys(str(layer.input.name) for layer in layers)]
    if len(seen) == 1:
        return seen[0]
    return ActivationStats(
        np.concatenate([one.low for one in seen]),
        np.concatenate([one.high for one in seen]),
        np.mean([one.mean for one in seen], axis=0),
        np.mean([one.covariance for one in seen], axis=0),
    )
