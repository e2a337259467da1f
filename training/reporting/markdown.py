"""Escapes names and texts for Markdown."""

import re
from typing import Any

SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$])")


def plain(value: Any) -> str:
    """Returns a value on one line, escaped so that nothing in it is Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(str(value).split()))
