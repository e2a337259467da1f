"""Errors of the training command. Like the runtime's, their messages never contain input texts."""


class TrainingError(Exception):
    """Base of every error that training raises on purpose."""


class DataError(TrainingError, ValueError):
    """The labelled file, or an option on how to read it, cannot be used."""


class EncoderError(TrainingError, ValueError):
    """The encoder or the teacher cannot be loaded, or would run code that is not trusted."""


def reason(error: BaseException) -> str:
    """Formats an error of transformers, or of a library it calls, on one line; with its type if the text needs it."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: {text}"
