"""Exceptions of the export, below the runtime's `LitmusError`."""

from runtime.errors import LitmusError


class ExportError(LitmusError):
    """Base class of the export's exceptions."""


class CheckpointError(ExportError, ValueError):
    """The checkpoint folder cannot be exported as it is."""


class ParityError(ExportError):
    """The exported graph gives other logits than the checkpoint."""


class QualityGateError(ExportError):
    """A variant loses more quality against fp32 than the quality gate allows."""


class FusionError(ExportError):
    """`--require-fused` was passed, and the attention of a layer is not fused."""
