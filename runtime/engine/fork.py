"""Ties a session to the process that created it.

onnxruntime's threads do not survive a fork. Of 1080 children that were forked while their parent classified in other
threads, three never returned from an inference. So a child may not run an inherited session. It may not destroy one
either, because that would wait forever for threads that do not exist (onnxruntime#31961). To prevent it, the guard
holds an extra reference to the session, which only the creating process gives up. (Adding the reference in the child
would be too late for objects that Python destroys after the modules, such as context variables.)
"""

import ctypes
import os

from ..errors import FORKED, InferenceError


class ForkGuard:
    """Keeps an object alive in every forked child, and lets only the creating process use or release it."""

    def __init__(self, guarded: object) -> None:
        self._guarded = ctypes.py_object(guarded)
        self._process = os.getpid()
        ctypes.pythonapi.Py_IncRef(self._guarded)

    @property
    def is_owner(self) -> bool:
        """Whether this process created the object."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raises an error in a forked child.

        Raises:
            InferenceError: This process did not create the object.
        """
        if not self.is_owner:
            raise InferenceError(FORKED)

    def release(self) -> None:
        """Gives up the extra reference. Call it at most once."""
        if self.is_owner:
            ctypes.pythonapi.Py_DecRef(self._guarded)
