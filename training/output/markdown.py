"""Names and texts in Markdown: taken for what they are."""

import re
from typing import Any

SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&])")


def plain(value: Any) -> str:
    """Spells a value on one line, so that nothing in it is Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(str(value).split()))
