"""Fused attention: registers onnxruntime's operator as an attention implementation of transformers.

Fusing by pattern after the export breaks silently when transformers changes its graph (onnxruntime#22629, #23864). Here
the model computes its attention with `com.microsoft::MultiHeadAttention`, so the operator is in the graph from the
start. `parity` checks the result.

Operator: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MultiHeadAttention
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import bidirectional_mask_function, sdpa_mask

NAME = "litmus_onnxruntime"
OPERATOR = ("com.microsoft", "MultiHeadAttention")


def attention(
    module: torch.nn.Module,  # noqa: ARG001 - passed by transformers
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Adds one fused operator to the traced graph. PyTorch cannot run it.

    Args:
        module: The attention layer; unused.
        query: (batch, heads, sequence, head) float.
        key: As `query`.
        value: As `query`.
        attention_mask: The key padding mask of `mask`.
        scaling: Factor on the scores; None for 1 / sqrt(head).

    Returns:
        The output, (batch, sequence, heads, head), and None for the attention weights.
    """
    batch, heads, sequence, head = query.shape
    merged = [tensor.transpose(1, 2).reshape(batch, sequence, heads * head) for tensor in (query, key, value)]
    output = torch.onnx.ops.symbolic(
        "::".join(OPERATOR),
        [*merged, None, attention_mask],
        attrs={"num_heads": heads, "scale": float(scaling or head**-0.5)},
        dtype=query.dtype,
        shape=(batch, sequence, heads * head),
        version=1,
    )
    return output.reshape(batch, sequence, heads, head), None


def mask(
    *,
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any],
    attention_mask: torch.Tensor | None = None,
    device: torch.device | str = "cpu",
    use_vmap: bool = False,
    **_: Any,
) -> torch.Tensor | None:
    """Returns the operator's key padding mask, int32 with 1 for a visible token, from transformers' mask arguments.

    If every token sees every other, it is the padding mask, (batch, sequence). If `mask_function` restricts that, as
    ModernBERT's sliding window does, it is (batch, sequence, sequence). Passing the window as `attention_bias` was no
    faster (docs/experiments.md). The operator adds -10000 to hidden scores, not minus infinity, so a padding token that
    sees only padding gives no NaN.
    """
    if mask_function is bidirectional_mask_function:
        return None if attention_mask is None else attention_mask.to(torch.int32)
    seen = sdpa_mask(
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        attention_mask=attention_mask,
        allow_is_causal_skip=False,
        use_vmap=use_vmap,
        device=device,
    )
    assert seen is not None  # None only if the mask may be skipped
    return seen[:, 0].to(torch.int32)


def is_pluggable(model: PreTrainedModel) -> bool:
    """Returns whether the model's layers look up their attention implementation, so that it can be replaced.

    transformers has no public function for this. Setting the implementation of another model only gives a warning.
    """
    return bool(model._can_set_attn_implementation())  # noqa: SLF001


def register() -> None:
    """Registers the operator with transformers as an attention implementation."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)
