"""Fused attention by construction: onnxruntime's operator is plugged into transformers before the export.

Fusing afterwards, by pattern, breaks silently whenever transformers changes its graph (onnxruntime#22629, #23864). Here
the model is asked to compute its attention with `com.microsoft::MultiHeadAttention`, so it is in the graph from the
start. Whether that was right is for `parity` to say: the operator knows no sliding windows and no causal masks.

Operator: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MultiHeadAttention
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "litmus_onnxruntime"
OPERATOR = ("com.microsoft", "MultiHeadAttention")


def attention(
    module: torch.nn.Module,  # noqa: ARG001 - transformers passes it
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Stands for one fused operator in the traced graph; it cannot be run by PyTorch.

    Args:
        module: The attention layer that asks; unused.
        query: (batch, heads, sequence, head) float.
        key: As `query`.
        value: As `query`.
        attention_mask: (batch, sequence) int32, 1 where there is a token: the operator's key padding mask.
        scaling: Factor on the scores; None for 1 / sqrt(head).

    Returns:
        (batch, sequence, heads, head) and no weights.
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


def mask(*, attention_mask: torch.Tensor | None = None, **_: Any) -> torch.Tensor | None:
    """Hands the (batch, sequence) mask through as int32, instead of the (batch, 1, sequence, sequence) bias."""
    return None if attention_mask is None else attention_mask.to(torch.int32)


def register() -> None:
    """Makes the operator known to transformers as an attention implementation."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)
