"""Errors of the training command. Like the runtime's, their messages never contain the texts."""


class TrainingError(Exception):
    """Base of every error that training raises on purpose."""


class DataError(TrainingError, ValueError):
    """The labelled file cannot be used as it is."""


class EncoderError(TrainingError, ValueError):
    """The base model cannot be loaded, or may not be."""
