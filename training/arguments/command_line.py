"""Parses the command line. A JSON recipe has the same names; the command line takes precedence."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import TrainingError, reason
from ..parser import GroupedParser
from .checks import check_arguments
from .groups import Arguments, DataArguments, EncoderArguments, FineTuningArguments, MethodArguments


def parse_args(argv: Sequence[str]) -> Arguments:
    """Parses the command line; a first argument that ends in `.json` is a recipe.

    bf16 is on by default on a CPU that has it, where it trains about 1.5 times as fast as fp32.

    Raises:
        TrainingError: The recipe cannot be read, or an argument is rejected.
        SystemExit: The command line is wrong (status 2).
    """
    parser = GroupedParser(
        (DataArguments, EncoderArguments, MethodArguments, FineTuningArguments),
        own=FineTuningArguments.__annotations__,
        prog="python -m training",
        usage="%(prog)s [RECIPE.json] [options] --output_dir FOLDER",
        description="Fine-tune a text classifier on a labelled file. RECIPE.json sets options by name; options on the "
        "command line take precedence.",
        allow_abbrev=False,
    )
    parser.set_defaults(disable_tqdm=not sys.stderr.isatty(), use_cpu=None, bf16=None)
    given = list(argv)
    if given and given[0].endswith(".json"):
        given[:1] = _recipe(given[0])
    if any(_has_surrogates(word) for word in given):
        raise TrainingError("the command line is not UTF-8; rename the file or folder")
    try:
        arguments = Arguments(*parser.parse_args_into_dataclasses(given, look_for_args_file=False))
    except json.JSONDecodeError as error:
        raise TrainingError(f"an option's value starts like a JSON object but is not valid JSON: {error}") from error
    except Exception as error:  # transformers checks some values and fails on others
        raise TrainingError(f"{reason(error)}; see python -m training --help") from error
    check_arguments(arguments)
    return arguments


def _has_surrogates(word: str) -> bool:
    """Returns whether a word has bytes that Python could not decode."""
    return any("\ud800" <= character <= "\udfff" for character in word)


def _recipe(path: str) -> list[str]:
    """Reads a recipe and returns the equivalent command line."""
    try:
        recipe: Any = json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise TrainingError(f"cannot read the recipe {path}: {os.strerror(error.errno or 0)}") from error
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"the recipe {path} is not JSON: {error}") from error
    if not isinstance(recipe, dict):
        raise TrainingError(f"the recipe {path}: expected a JSON object, found {type(recipe).__name__}")
    argv: list[str] = []
    for name, value in recipe.items():
        items = [str(item) for item in value] if isinstance(value, list) else []
        if value == "--" or any(item.startswith("-") for item in items):
            raise TrainingError(f"the recipe {path}: {name}: found what the command line takes for an option")
        if items:
            argv += [f"--{name}", *items]
        elif value not in (None, []):
            argv.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return argv
