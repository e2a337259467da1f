"""Names of columns and labels: which look the same, and how to show them so that the difference is seen.

A message shows a name that a file has only where it is nearly one that was asked for: without a header, the first row
of somebody's texts stands in the place of the names.
"""

import unicodedata
from collections.abc import Iterable


def look(name: str) -> str:
    """Returns what is the same for names that differ in nothing but case, white space, Unicode form or what is unseen.

    Unseen are control and format characters, such as joiners and marks of direction.
    """
    plain = unicodedata.normalize("NFKC", name.casefold())
    seen = "".join(character for character in plain if character.isspace() or unicodedata.category(character)[0] != "C")
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())


def nearly(asked: str, names: Iterable[str]) -> str | None:
    """Returns the first of the names that looks like the one that was asked for, spelt; None if there is none."""
    return next((spelt(name) for name in names if look(name) == look(asked)), None)


def spelt(name: str) -> str:
    """Quotes a name, in ASCII if its characters are not composed as usual, which nobody sees."""
    return repr(name) if unicodedata.is_normalized("NFC", name) else ascii(name)
