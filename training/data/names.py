"""Compares names of columns and labels by how they look, and quotes them so that a difference is visible.

A message shows a name from a file only if it looks like the requested one. In a file without a header, the first row of
texts takes the place of the names, and texts must not be shown.
"""

import unicodedata
from collections.abc import Iterable


def look(name: str) -> str:
    """Returns a key that names share if they differ only in case, white space, Unicode form or invisible characters.

    Invisible characters are control and format characters, such as joiners and direction marks.
    """
    plain = unicodedata.normalize("NFKC", name.casefold())
    seen = "".join(character for character in plain if character.isspace() or unicodedata.category(character)[0] != "C")
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())


def nearly(asked: str, names: Iterable[str]) -> str | None:
    """Returns the first of the names that looks like the requested one, quoted; None if there is none."""
    return next((quoted(name) for name in names if look(name) == look(asked)), None)


def quoted(name: str) -> str:
    """Quotes a name; in ASCII if it is not in composed form (NFC), a difference that would be invisible."""
    return repr(name) if unicodedata.is_normalized("NFC", name) else ascii(name)
