"""The error for a missing package of an extra."""

import contextlib
from collections.abc import Iterator

from .errors import DependencyError


@contextlib.contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Turns a failed import into an error that says what to install.

    Args:
        extra: Name of the extra.
        purpose: What needs which package.

    Raises:
        DependencyError: The import failed.
    """
    try:
        yield
    except ImportError as error:
        raise DependencyError(f"{purpose}; install the extra: pip install 'litmus-onnx[cpu,{extra}]'") from error
