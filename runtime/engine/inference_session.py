"""Creates onnxruntime's `InferenceSession` and checks it; the only place that knows how providers start and fail."""

import contextlib
import sys
from pathlib import Path

from ..artifact.manifest import Variant
from ..errors import ArtifactError, InferenceError, LitmusError, ProviderError
from .cuda import provider_options
from .int8_check import int8_saturates
from .model_file import load_without_weights, unshare_initializers
from .options import DISABLED_OPTIMIZERS, session_options
from .ort import onnxruntime
from .providers import PROVIDERS
from .settings import Settings

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"
OUT_OF_MEMORY = ("bad_alloc", "allocate memory")  # in messages of onnxruntime and of the operating system


def create_session(
    path: Path, variant: Variant, provider: str, settings: Settings
) -> tuple[onnxruntime.InferenceSession, int]:
    """Creates a session on one provider, without falling back to another.

    Args:
        path: The ONNX file; its weights are mapped, not copied (see `model_file`).
        variant: What the file holds.
        provider: `cpu` or `cuda`.
        settings: Threads, profile, memory.

    Returns:
        The session and its number of threads.

    Raises:
        ProviderError: The provider did not start.
        ArtifactError: The file is not a model that onnxruntime can load.
        InferenceError: There is not enough memory.
    """
    name = PROVIDERS[provider]
    try:
        model = load_without_weights(path)
        exact_int8 = variant.name == "int8" and provider == "cpu" and int8_saturates()
        if exact_int8:  # it fails on weights that nodes share: "Attempt to replace the existing tensor"
            model = unshare_initializers(model)
        options = session_options(settings, path.parent, exact_int8=exact_int8)
        session = onnxruntime.InferenceSession(
            model,
            options,
            providers=[(name, _start_provider(provider, settings))],
            disabled_optimizers=DISABLED_OPTIMIZERS,
            enable_fallback=False,
        )
    except LitmusError:
        raise
    except Exception as error:  # onnxruntime's own classes derive from Exception
        raise _translated(error, variant.file, provider) from error
    if session.get_providers()[0] != name:
        raise ProviderError(f"{name} did not start on this machine; use provider 'cpu', or install its libraries")
    return session, options.intra_op_num_threads


def check_signature(session: onnxruntime.InferenceSession, file: str, labels: int) -> tuple[str, ...]:
    """Checks names, types and shapes of a session's inputs and output.

    Args:
        session: The session.
        file: What messages call the model.
        labels: Expected number of columns of the logits.

    Returns:
        The names of the inputs.

    Raises:
        ArtifactError: They are not what the runtime feeds and reads.
    """
    for node in session.get_inputs():
        fixed = any(isinstance(dimension, int) for dimension in node.shape)
        if node.name not in INPUTS or node.type != "tensor(int64)" or len(node.shape) != 2 or fixed:
            raise ArtifactError(
                f"{file}: input {node.name[:80]!r} is {node.type} of shape {node.shape}; "
                f"expected int64 of (batch, sequence), any number of both, named {', '.join(INPUTS)}"
            )
    outputs = {node.name: node for node in session.get_outputs()}
    if OUTPUT not in outputs:
        raise ArtifactError(f"{file}: expected an output named {OUTPUT!r}, found {repr([*outputs])[:80]}")
    node = outputs[OUTPUT]
    if node.type != "tensor(float)" or len(node.shape) != 2 or node.shape[1] != labels:
        raise ArtifactError(
            f"{file}: {OUTPUT} is {node.type} of shape {node.shape}; "
            f"expected tensor(float) of (batch, {labels}), one column per label"
        )
    return tuple(node.name for node in session.get_inputs())


def first_line(error: Exception) -> str:
    """Returns an error's message without the stack trace that onnxruntime appends to some."""
    return str(error).partition("\n")[0]


def _start_provider(provider: str, settings: Settings) -> dict[str, str]:
    """Loads what a provider needs and returns its options."""
    if provider != "cuda":
        return {}
    with contextlib.redirect_stdout(sys.stderr):  # it prints the libraries that it does not find
        onnxruntime.preload_dlls()  # finds the CUDA libraries of the nvidia-* wheels
    return provider_options(settings.gpu_memory_mb)


def _translated(error: Exception, file: str, provider: str) -> LitmusError:
    """Returns the Litmus error for an error of onnxruntime."""
    if provider != "cpu":
        return ProviderError(
            f"{PROVIDERS[provider]} did not start on this machine; use provider 'cpu'. {first_line(error)}"
        )
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
        return InferenceError(f"there is not enough memory to load {file}; free some, or choose a smaller variant")
    return ArtifactError(f"onnxruntime cannot load {file}; export the artifact again. {first_line(error)}")
