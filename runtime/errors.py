"""Every error the runtime raises, as one tree under `LitmusError`.

Each class is also the builtin that a caller would already catch. A message says what was expected, what was found and
what to do. It never contains input text: texts may be patients' words, and errors end up in logs.
"""

FORKED = "the classifier was loaded before this process was forked; load it in every process"


class LitmusError(Exception):
    """Base of every error that Litmus raises on purpose."""


class ArtifactError(LitmusError, ValueError):
    """The artifact folder is damaged, incomplete, or not something this version can read."""


class ArtifactNotFoundError(ArtifactError, FileNotFoundError):
    """There is no artifact at the given path."""


class DependencyError(LitmusError, ImportError):
    """onnxruntime is missing, or two of its distributions overwrote each other."""


class SettingError(LitmusError, ValueError):
    """A setting that the caller chose is out of range."""


class ProviderError(LitmusError, ValueError):
    """The requested execution provider is unknown, or not available on this machine."""


class TextError(LitmusError, ValueError):
    """A text cannot be classified.

    Attributes:
        position: Which one, counted from 0 in the order they were passed.
        reason: What is wrong with it and what to do; never the text.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return f"text {self.position}: {self.reason}"


class TextTypeError(TextError, TypeError):
    """A text is not a `str`."""


class InputError(LitmusError, ValueError):
    """A file of texts cannot be read, or the file for the results cannot be written."""


class InferenceError(LitmusError, RuntimeError):
    """The model cannot run here as it is, or gave something that is not a score."""
