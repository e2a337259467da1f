"""Configuration keys that make transformers run code from outside its package."""

from typing import Any

import pytest

from runtime.artifact.remote_code import find_remote_code


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"auto_map": {}}, "auto_map"),
        ({"_attn_implementation_internal": "x/y"}, "_attn_implementation_internal"),
        ({"parts": [{"text": {"auto_map": {}}}]}, "auto_map"),
        ({"name": "auto_map", "sizes": [1, None]}, None),
        ([], None),
        (None, None),
    ],
)
def test_find_remote_code(config: Any, key: str | None) -> None:
    """A key is found at any depth of the configuration; a value with the same text is ignored."""
    assert find_remote_code(config) == key


def test_deep_nesting() -> None:
    """A key is found below Python's recursion limit."""
    config: dict[str, Any] = {"auto_map": {}}
    for _ in range(50_000):
        config = {"inner": config}
    assert find_remote_code(config) == "auto_map"
