"""Errors of the export, in the runtime's tree."""

from runtime.errors import LitmusError


class ExportError(LitmusError):
    """Base of every error that export raises on purpose."""


class CheckpointError(ExportError, ValueError):
    """The checkpoint folder cannot be exported as it is."""


class ParityError(ExportError):
    """The exported graph does not compute what the checkpoint computes."""


class QualityGateError(ExportError):
    """A variant loses more quality against fp32 than the quality gate allows."""


class FusionError(ExportError):
    """The graph has fewer fused attention nodes than the model has attention layers, and all were asked for."""
