"""The number of positions of an encoder, the upper limit of its texts' length in tokens."""

from transformers import PreTrainedModel


def position_limit(model: PreTrainedModel) -> int | None:
    """Returns how many tokens per text an encoder has positions for, or None if there is no limit.

    RoBERTa and its relatives number positions from `padding_idx + 1`, so the first rows of their table are not usable.
    Only the module shows that: some families hard-code the index, and their config has another one.

    Args:
        model: Any encoder; its weights are not read, so it may be on the meta device.
    """
    count: int | None = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if count is not None and name.endswith("position_embeddings") and padding is not None:
            return count - int(padding) - 1
    return count
