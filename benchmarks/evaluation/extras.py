"""Says how to install a package that only a part of the evaluation needs."""

import contextlib
from collections.abc import Iterator

from runtime.errors import DependencyError


@contextlib.contextmanager
def needs_extra() -> Iterator[None]:
    """Turns a failed import into an error with the line that installs the extra.

    Raises:
        DependencyError: The package is missing.
    """
    try:
        yield
    except ImportError as error:
        line = "pip install -c constraints.txt -e '.[cpu,evaluate]'"
        raise DependencyError(f"{error}; install the extra with: {line}") from error
