"""Calls a function in a fresh Python process that imports only that function's module."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ..errors import BenchmarkError
from .environments import ROOT

CODE = """
import importlib, json, sys
module, name, arguments = sys.argv[1:]
print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(arguments))))
"""


def run_in_subprocess(function: Callable[..., Any], **arguments: Any) -> tuple[Any, float]:
    """Calls a function of a module in a new process.

    Args:
        function: Returns a value that JSON can hold. It may print lines before it returns.
        **arguments: Its arguments, ready for JSON. Paths must be absolute, as the process runs in another folder.

    Returns:
        The function's result, and the seconds from the start of the process to its end.

    Raises:
        BenchmarkError: The process failed.
    """
    command = [sys.executable, "-c", CODE, function.__module__, function.__name__, json.dumps(arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT, check=False)
    elapsed_s = time.perf_counter() - start
    if done.returncode:
        raise BenchmarkError(
            f"{function.__name__}: its process failed (exit status {done.returncode}); see its message above"
        )
    return json.loads(done.stdout.splitlines()[-1]), elapsed_s
