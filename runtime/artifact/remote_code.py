"""Keys of a Hugging Face `config.json` that make transformers run code from outside its package."""

from typing import Any

KEYS = ("auto_map", "_attn_implementation_internal")


def find_remote_code(config: Any) -> str | None:
    """Returns the first such key of a configuration, at any depth, or None.

    Args:
        config: Parsed JSON.
    """
    values = [config]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            for key in KEYS:
                if key in value:
                    return key
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
    return None
