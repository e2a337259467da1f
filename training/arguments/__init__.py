"""The training command's arguments: what they are, how they are parsed, and which are refused."""

from .checks import LATEST, MAX_SEED, check_task
from .command_line import parse_args
from .groups import Arguments, DataArguments, EncoderArguments, FineTuningArguments, MethodArguments

__all__ = [
    "LATEST",
    "MAX_SEED",
    "Arguments",
    "DataArguments",
    "EncoderArguments",
    "FineTuningArguments",
    "MethodArguments",
    "check_task",
    "parse_args",
]
