"""`GET /ui`: a page to try the service with. It is one static file."""

from ..http import Scope, Send, send_bytes
from ..pages import HTML, csp, ui


class UiRoute:
    """Handles `GET /ui`."""

    def __init__(self) -> None:
        """Reads the page once."""
        text = ui()
        self._page, self._csp = text.encode(), csp(text)

    async def page(self, scope: Scope, send: Send) -> None:
        """Handles a request."""
        scope["exchange"].route = "/ui"
        await send_bytes(send, 200, self._page, HTML, [(b"content-security-policy", self._csp)])
