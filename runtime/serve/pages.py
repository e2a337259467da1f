"""HTML pages that load nothing: their Content-Security-Policy allows their own style and script by hash."""

import base64
import hashlib
import re
from pathlib import Path

from ..page import PLACEHOLDER, style

HTML = b"text/html; charset=utf-8"
UI = Path(__file__).parent / "static" / "ui.html"


def ui() -> str:
    """Returns the page of `/ui`, with the stylesheet of all pages."""
    return UI.read_text("utf-8").replace(PLACEHOLDER, style())


def csp(page: str) -> bytes:
    """Returns the Content-Security-Policy of a page."""
    rules = {
        "default-src": "'none'",
        "script-src": _hashes(page, "script"),
        "style-src": _hashes(page, "style"),
        "connect-src": "'self'",
        "img-src": "data:",  # the empty icon, so that browsers do not ask for one
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items()).encode()


def _hashes(page: str, tag: str) -> str:
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents]
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
