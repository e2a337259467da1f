"""Random damage to bytes and JSON values; the same seed gives the same damage."""

import copy
import random
from typing import Any

ODD_NUMBERS = (0, 1, -1, 2, 3, 255, 2**31, -(2**31), 2**32, 2**63, 2**64, 10**12, 10**400, 0.5, -0.0, 1e308, 1e-320)
ODD_VALUES = (
    None,
    True,
    False,
    "",
    " ",
    "\x00",
    "../x",
    "/etc/passwd",
    "a" * 1000,
    "\ud800",
    "é漢\u202e",
    [],
    {},
    [[]],
)


def damaged_bytes(content: bytes, dice: random.Random) -> bytes:
    """Returns the content with some bytes changed, deleted, duplicated, inserted or cut off at the end."""
    damaged = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 5, 50))):
        at = dice.randrange(len(damaged) + 1)
        length = min(dice.choice((1, 1, 4, 16, 256)), len(damaged) - at)
        kind = dice.randrange(6)
        if kind == 0 and length:
            damaged[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            damaged[at : at + length] = dice.randbytes(length)
        elif kind == 2:
            del damaged[at : at + length]
        elif kind == 3:
            damaged[at:at] = damaged[at : at + length]
        elif kind == 4:
            damaged[at:at] = dice.randbytes(dice.choice((1, 4, 16)))
        elif dice.random() < 0.2:
            del damaged[at:]
    return bytes(damaged)


def damaged_json(value: Any, dice: random.Random) -> Any:
    """Returns a JSON value with some of its parts replaced, deleted, duplicated or exchanged."""
    whole = [copy.deepcopy(value)]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        holder, key = _place(whole, dice)
        kind = dice.randrange(6)
        if kind == 0 and holder is not whole:
            del holder[key]
        elif kind == 1:
            holder[key] = dice.choice(ODD_VALUES)
        elif kind == 2:
            holder[key] = dice.choice(ODD_NUMBERS)
        elif kind == 3 and isinstance(holder[key], int | float):
            holder[key] = _near(holder[key], dice)
        elif kind == 4 and isinstance(holder, list) and holder is not whole:
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            other, place = _place(whole, dice)
            holder[key] = copy.deepcopy(other[place])
    return whole[0]


def _near(number: float, dice: random.Random) -> float:
    return dice.choice((number + 1, number - 1, -number, number * 2, number // 3))


def _place(whole: list[Any], dice: random.Random) -> tuple[Any, Any]:
    """Picks a part at any depth and returns its container and its key there."""
    holder: Any = whole
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and dice.random() < 0.85:
        holder = holder[key]
        key = dice.choice(list(holder)) if isinstance(holder, dict) else dice.randrange(len(holder))
    return holder, key
