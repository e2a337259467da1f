"""Loads a checkpoint's model, from safetensors or from the tensors of a pickle (`pytorch_model.bin`)."""

import inspect
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from optimum.exporters.tasks import TasksManager
from transformers import PreTrainedModel

from runtime.engine.inference_session import INPUTS

from ..errors import CheckpointError
from .source import Source, fit_vocabulary, open_source

TASK = "text-classification"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
MAX_BYTES = 2**31 - 2**20  # protobuf's limit for a file, and room for the graph itself


@dataclass(frozen=True)
class Checkpoint(Source):
    """A checkpoint with its model loaded.

    Attributes:
        model: In evaluation mode, fp32, on the CPU.
        input_names: Inputs of the model's forward, in the runtime's order.
    """

    model: PreTrainedModel
    input_names: tuple[str, ...]


def open_checkpoint(path: str) -> Checkpoint:
    """Loads a checkpoint folder.

    Raises:
        CheckpointError: The folder is missing, incomplete, no sequence classifier, or would run foreign code.
    """
    weights = next((name for name in WEIGHTS if (Path(path) / name).is_file()), WEIGHTS[0])
    source = open_source(path, weights=weights)
    model = _model(source.folder, weights)
    source = fit_vocabulary(source, rows=cast(torch.nn.Embedding, model.get_input_embeddings()).weight.shape[0])
    return Checkpoint(**vars(source), model=model, input_names=_input_names(model))


def _model(folder: Path, weights: str) -> PreTrainedModel:
    loader = TasksManager.get_model_class_for_task(TASK, framework="pt")
    try:
        model, report = loader.from_pretrained(
            folder,
            use_safetensors=weights == WEIGHTS[0],
            weights_only=True,  # the default of transformers; of a pickle, only tensors are read
            output_loading_info=True,
            attn_implementation="eager",
            dtype="float32",
        )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{folder}/{weights} is damaged, or has more than tensors, which could run code; nothing in it was run. "
            "Save the model again with safetensors: model.save_pretrained(FOLDER)"
        ) from error
    except Exception as error:  # damaged files make transformers raise almost anything
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder}: transformers cannot load it as a {TASK} model: {reason}") from error
    if report["missing_keys"]:
        raise CheckpointError(f"{folder} lacks the weights {min(report['missing_keys'])!r}; fine-tune it first")
    size_bytes = sum(parameter.nbytes for parameter in model.parameters())
    if size_bytes > MAX_BYTES:
        raise CheckpointError(
            f"{folder} has {size_bytes / 2**30:.2f} GiB of fp32 weights, and an ONNX file holds less than 2 GiB; "
            "use a smaller encoder"
        )
    damaged = [name for name, parameter in model.named_parameters() if not torch.isfinite(parameter).all()]
    if damaged:
        raise CheckpointError(
            f"{folder}: the weights {damaged[0]!r} have NaN or infinite numbers; train again, at a lower learning rate"
        )
    return cast(PreTrainedModel, model.eval())


def _input_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Returns the inputs that the model uses; one with a single token type, as RoBERTa, ignores `token_type_ids`."""
    parameters = inspect.signature(model.forward).parameters
    one_type = getattr(model.config, "type_vocab_size", 0) < 2
    return tuple(name for name in INPUTS if name in parameters and not (name == "token_type_ids" and one_type))
