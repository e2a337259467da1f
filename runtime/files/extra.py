"""The error for a missing package of the extra `files`."""

import contextlib
from collections.abc import Iterator

from ..errors import DependencyError


@contextlib.contextmanager
def needs_files_extra() -> Iterator[None]:
    """Turns a failed import of pyarrow into an error that says what to install."""
    try:
        yield
    except ImportError as error:
        raise DependencyError(
            "Parquet, zstd and object stores need pyarrow; install the extra: pip install 'litmus-onnx[files]'"
        ) from error
