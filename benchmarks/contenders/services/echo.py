"""The floor: uvicorn with an application that reads the body and returns a constant."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

CONTENT = b'[{"proba":{"malignant":0.9942860281697197,"benign":0.0057139718302802655},"labels_short":["malignant"]}]'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(CONTENT))],
}
Message = MutableMapping[str, Any]


async def app(
    _: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Reads the body and returns the constant."""
    while (await receive()).get("more_body", False):
        pass
    await send(START)
    await send({"type": "http.response.body", "body": CONTENT})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", access_log=False, lifespan="off")
