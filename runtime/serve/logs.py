"""The log: one JSON object per line on standard error, with sizes, durations and statuses, never a text or a key."""

import json
import sys
from typing import Any

import msgspec
import structlog

encode = msgspec.json.Encoder().encode


def logger() -> Any:
    """Returns the logger; its methods take an event and fields."""
    return structlog.wrap_logger(
        structlog.BytesLogger(sys.stderr.buffer),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_encoded),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=True,
    )


def _encoded(value: dict[str, Any], **_: Any) -> bytes:
    try:
        return encode(value)
    except UnicodeEncodeError:  # a path that is not UTF-8
        return json.dumps(value).encode()
