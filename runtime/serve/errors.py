"""Errors as HTTP responses: a status, a kind and a message that contains no text."""

import msgspec
from starlette.exceptions import HTTPException

from ..errors import DeadlineError, InferenceError, LitmusError, OverloadError, SettingError, TextError


class HttpError(Exception):
    """A response other than 200.

    Attributes:
        status: HTTP status.
        kind: `error_type` of the response, one of those of Text Embeddings Inference.
        message: What is wrong and what to do.
        retry_after_s: Seconds after which to try again; None if trying again does not help.
        closes: Whether the connection has to be closed, because a part of the request was not read.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, retry_after_s: float | None = None, closes: bool = False
    ) -> None:
        super().__init__(status, kind, message)
        self.status = status
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s
        self.closes = closes


def http_error(error: Exception) -> HttpError:
    """Returns the HTTP response for an error."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, HTTPException):  # of Starlette's router: 404 and 405
        allowed = (error.headers or {}).get("Allow", "")
        return HttpError(error.status_code, "Validation", f"{error.detail.lower()}{allowed and f'; use {allowed}'}")
    if isinstance(error, OverloadError):
        return HttpError(429, "Overloaded", str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, DeadlineError):
        return HttpError(504, "Timeout", str(error))
    if isinstance(error, (TextError, SettingError)):
        return HttpError(422, "Validation", str(error))
    if isinstance(error, InferenceError):
        return HttpError(500, "Backend", str(error))
    if isinstance(error, LitmusError):
        return HttpError(422, "Validation", str(error))
    return HttpError(500, "Backend", f"the service failed: {type(error).__name__}")


def body_error(error: Exception, fields: tuple[str, ...]) -> HttpError:
    """Returns the response for a body that cannot be read.

    Args:
        error: From msgspec. Most of its messages contain types and positions, but some repeat a value or a field.
        fields: The fields that the body may have.
    """
    if isinstance(error, msgspec.ValidationError):
        message = str(error)
        if "unknown field" in message:  # the field's name may be a text
            message = f"unknown field; expected some of {', '.join(fields)}"
        elif not message.startswith(("Expected `", "Object missing required field")):  # it may repeat the value
            _, separator, path = message.rpartition(" - at `")
            message = f"a value is not one of those allowed{separator}{path if separator else ''}"
        return HttpError(422, "Validation", message)
    return HttpError(400, "Validation", "the body is not valid JSON in UTF-8")
