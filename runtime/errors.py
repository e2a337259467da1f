"""All errors that the runtime raises, as one tree under `LitmusError`.

Each class is also the builtin error that a caller would already catch. A message says what was expected, what was found
and what to do. It never contains input text: texts may be patients' words, and errors end up in logs.
"""

from typing import Self

FORKED = "the classifier was loaded before this process was forked; load it in every process"


class LitmusError(Exception):
    """Base class of the errors that Litmus raises on purpose."""


class ArtifactError(LitmusError, ValueError):
    """The artifact is damaged, incomplete, or not readable by this version."""


class ArtifactNotFoundError(ArtifactError, FileNotFoundError):
    """There is no artifact at the given path."""


class DependencyError(LitmusError, ImportError):
    """onnxruntime is missing, too old, or installed twice, or a package of an extra is missing."""


class SettingError(LitmusError, ValueError):
    """A setting of the caller is out of range."""


class ProviderError(LitmusError, ValueError):
    """The requested execution provider is unknown, or does not work on this machine."""


class TextError(LitmusError, ValueError):
    """A text cannot be classified.

    Attributes:
        position: Position of the text, counted from 0 in the order of the call.
        reason: What is wrong with the text and what to do; never the text itself.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason

    def at(self, position: int) -> Self:
        """Returns this error for another position."""
        return type(self)(position, self.reason)

    def __str__(self) -> str:
        return f"text {self.position}: {self.reason}"


class TextTypeError(TextError, TypeError):
    """A text is not a `str`."""


class InputError(LitmusError, ValueError):
    """A file of texts cannot be read, or the output file cannot be written."""


class OverloadError(LitmusError, RuntimeError):
    """Too many texts are waiting to be classified.

    Attributes:
        retry_after_s: Time after which those that wait now will be done, in seconds.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"too many texts are waiting; try again in {self.retry_after_s:.2f} s"


class DeadlineError(LitmusError, TimeoutError):
    """A call was not complete at its deadline."""


class InferenceError(LitmusError, RuntimeError):
    """The model cannot run here, or returned values that are not scores."""
