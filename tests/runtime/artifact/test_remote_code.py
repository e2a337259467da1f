"""The keys of a configuration that make transformers run code from outside its package."""

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
    """A key is found at any depth; the same word as a value is no key."""
    assert find_remote_code(config) == key


def test_deep_nesting() -> None:
    """Nesting beyond Python's recursion limit is no error."""
    config: dict[str, Any] = {"auto_map": {}}
    for _ in range(50_000):
        config = {"inner": config}
    assert find_remote_code(config) == "auto_map"
