"""Builds dataclasses from JSON and checks the types of their fields. Does not know what the fields mean."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, cast

from ..checks import short_repr
from ..errors import ArtifactError

MAX_NUMBER = 1e30


def build(kind: Any, value: Any, where: str) -> Any:
    """Turns a JSON value into a value of an annotated type.

    Unknown keys of objects are ignored, because a later minor version may add some, and fields with a default may be
    missing, because an earlier one did not have them.

    Args:
        kind: The type: a dataclass, tuple, Mapping, Literal, optional type, or a plain type.
        value: The JSON value.
        where: Path of the value, for messages.

    Raises:
        ArtifactError: The value has another type, or a field is missing.
    """
    if dataclasses.is_dataclass(kind):
        _expect_type(value, dict, where)
        missing = [
            field.name
            for field in dataclasses.fields(kind)
            if field.name not in value and field.default is dataclasses.MISSING
        ]
        expect(not missing, where, "every field", f"none of: {', '.join(missing)}")
        present = [field for field in dataclasses.fields(kind) if field.name in value]
        return cast(Any, kind)(**{f.name: build(f.type, value[f.name], f"{where}: {f.name}") for f in present})
    if isinstance(kind, UnionType):
        return None if value is None else build(kind.__args__[0], value, where)
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        _expect_type(value, list, where)
        return tuple(build(kind.__args__[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        _expect_type(value, dict, where)
        return {key: build(kind.__args__[1], item, f"{where}: {key[:80]!r}") for key, item in value.items()}
    if origin is Literal:
        expect(value in kind.__args__, where, " or ".join(kind.__args__), repr(value)[:80])
        return value
    if kind is Any:
        return value
    if kind is float:
        _expect_type(value, (int, float), where)
        expect(-MAX_NUMBER < value < MAX_NUMBER, where, "a finite number", short_repr(value))
        return float(value)
    _expect_type(value, kind, where)
    return value


def expect(holds: bool, where: str, expected: str, found: object) -> None:
    """Raises an error unless a condition holds.

    Raises:
        ArtifactError: It does not; the message says what was expected and what was found.
    """
    if not holds:
        raise ArtifactError(f"{where}: expected {expected}, found {found}; export it again")


def _expect_type(value: object, kind: type | Sequence[type], where: str) -> None:
    kinds = kind if isinstance(kind, Sequence) else (kind,)
    if not isinstance(value, tuple(kinds)) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(item.__name__ for item in kinds)
        raise ArtifactError(f"{where}: expected {names}, found {type(value).__name__}; export it again")
