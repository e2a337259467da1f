"""Errors of the training command. Like the runtime's, their messages never contain the texts."""


class TrainingError(Exception):
    """Base of every error that training raises on purpose."""


class DataError(TrainingError, ValueError):
    """The labelled file cannot be used as it is."""


class EncoderError(TrainingError, ValueError):
    """The base model cannot be loaded, or may not be."""


def reason(error: BaseException) -> str:
    """Tells an error of transformers, or of what it calls, on one line; many say nothing without their name."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: {text}"
