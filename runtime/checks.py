"""Checks of arguments."""

import operator
from typing import SupportsIndex, cast

from .errors import SettingError

MAX_NUMBER = 1 << 40


def require_whole_number(name: str, value: object, most: int = MAX_NUMBER) -> None:
    """Checks that a value is None or an integer from 1 to `most`.

    Raises:
        SettingError: It is neither; the message begins with the name.
    """
    if value is None:
        return
    try:
        number = (
            0 if isinstance(value, bool) else operator.index(cast(SupportsIndex, value))
        )  # accepts NumPy's integers
    except TypeError:
        number = 0
    if not 1 <= number <= most:
        expected = f"a whole number from 1 to {most}" if most < MAX_NUMBER else "a whole number of 1 or more"
        raise SettingError(f"{name}: expected {expected}, found {short_repr(value)}")


def short_repr(value: object) -> str:
    """Returns the first characters of a value, on one line, for a message."""
    try:
        return " ".join(f"{value!r}".split())[:40]
    except ValueError:  # the number has more digits than Python converts
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
