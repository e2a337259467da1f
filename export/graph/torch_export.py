"""Exports a checkpoint's graph to ONNX with `torch.onnx`."""

from collections import Counter
from pathlib import Path

import onnx
import torch
from optimum.utils import DummyTextInputGenerator, NormalizedConfigManager, NormalizedTextConfig
from torch.export import Dim

from runtime.engine.inference_session import OUTPUT

from ..console import quiet
from ..errors import CheckpointError
from ..sources.checkpoint import TASK, Checkpoint
from . import attention
from .simplify import simplify_file

OPSET = 20


def export_graph(checkpoint: Checkpoint, path: Path, *, implementation: str) -> int:
    """Writes the model as one self-contained ONNX file with dynamic batch and sequence.

    Args:
        checkpoint: The checkpoint; the attention implementation of its model is restored afterwards.
        path: File to write.
        implementation: `attention.NAME` for the fused operator, or `eager`.

    Returns:
        The number of fused attention nodes in the graph.

    Raises:
        CheckpointError: Optimum does not know the model family, or torch cannot export it.
    """
    names = checkpoint.input_names
    inputs = _dummy_inputs(checkpoint)
    batch, sequence = Dim("batch", min=1), Dim("sequence", min=1, max=checkpoint.max_length)
    model = checkpoint.model
    before = model.config._attn_implementation  # noqa: SLF001 - it has a public setter and no getter
    model.set_attn_implementation(implementation)
    try:
        with quiet():
            program = torch.onnx.export(
                model,
                (),
                kwargs=inputs,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_shapes={name: {0: batch, 1: sequence} for name in names},
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # its message is pages long, for authors of models
        raise CheckpointError(
            f"torch cannot export this {model.config.model_type} model; use another encoder"
        ) from error
    finally:
        model.set_attn_implementation(before)
    assert program is not None
    program.save(path, external_data=False)
    simplify_file(path)
    return fused_nodes(path)


def fused_nodes(path: Path) -> int:
    """Returns the number of fused attention operators in an ONNX file."""
    graph = onnx.load(path).graph
    return Counter((node.domain, node.op_type) for node in graph.node)[attention.OPERATOR]


def attention_layers(checkpoint: Checkpoint) -> int:
    """Returns the number of attention layers of the model.

    Raises:
        CheckpointError: Optimum does not know the model family.
    """
    return int(_normalized(checkpoint).num_layers)


def _dummy_inputs(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    sequence = min(16, checkpoint.max_length)
    generator = DummyTextInputGenerator(TASK, _normalized(checkpoint), batch_size=2, sequence_length=sequence)
    return {name: generator.generate(name, framework="pt") for name in checkpoint.input_names}


def _normalized(checkpoint: Checkpoint) -> NormalizedTextConfig:
    """Returns the model's config with Optimum's attribute names, which are the same for every family."""
    config = checkpoint.model.config
    try:
        return NormalizedConfigManager.get_normalized_config_class(config.model_type)(config)
    except KeyError as error:
        raise CheckpointError(
            f"Optimum does not know the model family {config.model_type!r}; use another encoder"
        ) from error
