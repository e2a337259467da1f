"""Fused attention by construction: onnxruntime's operator is plugged into transformers before the export.

Fusing afterwards, by pattern, breaks silently whenever transformers changes its graph (onnxruntime#22629, #23864). Here
the model is asked to compute its attention with `com.microsoft::MultiHeadAttention`, so it is in the graph from the
start. Whether that was right is for `parity` to say.

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
        attention_mask: What `mask` made: the operator's key padding mask.
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
    """Makes the operator's key padding mask, int32 with 1 where a token is seen, from transformers' mask arguments.

    Where every token sees every other it is the (batch, sequence) padding mask as it is. Where `mask_function` has more
    to say, ModernBERT's sliding window for instance, it is (batch, sequence, sequence), which the operator takes as
    well; the window as its `attention_bias` beside the padding mask was no faster (docs/experiments.md). What is hidden
    gets -10000 added, not minus infinity, so a padding token that sees nothing but padding gives no NaN.
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
    assert seen is not None  # only a mask that may be skipped is
    return seen[:, 0].to(torch.int32)


def is_pluggable(model: PreTrainedModel) -> bool:
    """Tells whether the model's layers ask transformers' interface for their attention, so that ours can be plugged in.

    transformers has no public way to ask; without asking, it warns and leaves the model as it is.
    """
    return bool(model._can_set_attn_implementation())  # noqa: SLF001


def register() -> None:
    """Makes the operator known to transformers as an attention implementation."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)
