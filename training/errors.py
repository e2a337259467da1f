"""Errors of the training command. Like the runtime's, their messages never contain the texts."""

from collections.abc import Sequence

MAX_NAMES = 40
MAX_NAME_LENGTH = 40
MAX_NAME_WORDS = 3


class TrainingError(Exception):
    """Base of every error that training raises on purpose."""


class DataError(TrainingError, ValueError):
    """The labelled file cannot be used as it is."""


class EncoderError(TrainingError, ValueError):
    """The base model cannot be loaded, or may not be."""


def shown(names: Sequence[str]) -> str:
    """Lists names of columns or labels for a message, unless they look like texts: a file may lack its header."""
    if any(len(name) > MAX_NAME_LENGTH or len(name.split()) > MAX_NAME_WORDS for name in names):
        return f"{len(names)} that look like texts, not names; is the header there, and the column the right one?"
    listed = ", ".join(map(repr, names[:MAX_NAMES]))
    return listed if len(names) <= MAX_NAMES else f"{listed} and {len(names) - MAX_NAMES} more"
