"""Observes what the linear layers of a graph read, on calibration texts: the ground for fixed int8 scales.

Texts are run one by one, so that no padding is ever observed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime

from .layers import Floats, linears

Inputs = Mapping[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Observed:
    """The values of one activation, channel by channel.

    Attributes:
        low: (texts, channels) float32, the least value of a channel in a text.
        high: (texts, channels) float32, the greatest.
        power: (channels,) float32, the mean square over the texts.
    """

    low: Floats
    high: Floats
    power: Floats


def observe(model: ir.Model, texts: Iterable[Inputs], *, threads: int) -> dict[str, Observed]:
    """Runs texts through a graph and notes the range of every channel that a linear layer reads.

    Args:
        model: The fp32 graph; left as it is.
        texts: The graph's inputs for one text each, (1, sequence) int64.
        threads: Threads of onnxruntime.

    Returns:
        What was observed, by the name of the activation.
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
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    read = [node.name for node in session.get_inputs()]
    noted: dict[str, list[tuple[Floats, Floats, Floats]]] = {str(name): [] for name in watched}
    for text in texts:
        found = session.run(list(noted), {name: text[name] for name in read})
        for name, values in zip(noted, found, strict=True):
            rows = values.reshape(-1, values.shape[-1])
            noted[name].append((rows.min(axis=0), rows.max(axis=0), np.square(rows).mean(axis=0)))
    observed = {}
    for name, texts_noted in noted.items():
        low, high, power = (np.stack(figures) for figures in zip(*texts_noted, strict=True))
        observed[name] = Observed(low, high, power.mean(axis=0))
    return observed
