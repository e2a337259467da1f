"""An argument parser that repeats no text."""

import argparse
import re
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors repeat no value, because a text may have been passed in the place of one."""

    def error(self, message: str) -> NoReturn:
        """Exits with argparse's message up to the value that it would repeat."""
        super().error(re.split(r":? ['\"]", message, maxsplit=1)[0])

    def wrong(self, message: str) -> NoReturn:
        """Exits with a message that is known to contain no text."""
        super().error(message)
