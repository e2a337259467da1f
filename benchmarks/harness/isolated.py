"""Calls a function in a fresh Python process, which imports the function's module and nothing else of ours."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ..errors import BenchmarkError
from .catalog import ROOT

CODE = """
import importlib, json, sys
module, name, arguments = sys.argv[1:]
print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(arguments))))
"""


def run_in_subprocess(function: Callable[..., Any], **arguments: Any) -> tuple[Any, float]:
    """Calls a function of a module in a process of its own.

    Args:
        function: Gives what JSON can hold. It may print lines before.
        **arguments: For the function, ready for JSON; paths absolute, for the process runs in another folder.

    Returns:
        What it gave, and the seconds from the start of the process to its end.

    Raises:
        BenchmarkError: The process failed.
    """
    line = [sys.executable, "-c", CODE, function.__module__, function.__name__, json.dumps(arguments)]
    start = time.perf_counter()
    done = subprocess.run(line, stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT, check=False)
    elapsed_s = time.perf_counter() - start
    if done.returncode:
        raise BenchmarkError(f"{function.__name__}: its process failed ({done.returncode}); its own message is above")
    return json.loads(done.stdout.splitlines()[-1]), elapsed_s
