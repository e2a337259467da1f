"""The command-line parser, whose `--help` lists our options before the hundred options of transformers."""

from argparse import Action, ArgumentDefaultsHelpFormatter, _ArgumentGroup
from collections.abc import Collection
from typing import Any

from transformers import HfArgumentParser

TRAINING = "training"
OTHERS = "other options of transformers' TrainingArguments"


class HelpFormatter(ArgumentDefaultsHelpFormatter):
    """Shows one spelling of each option, and defaults only where there is one."""

    def _format_action_invocation(self, action: Action) -> str:
        value = "" if action.nargs == 0 else f" {self._format_args(action, action.dest.upper())}"
        return ", ".join(action.option_strings) if action.dest == "help" else f"{action.option_strings[0]}{value}"

    def _get_help_string(self, action: Action) -> str | None:
        if action.option_strings[0].startswith("--no_"):
            return f"Same as --{action.dest} false."
        return action.help if action.default in (None, []) else super()._get_help_string(action)


class GroupedParser(HfArgumentParser):
    """A parser of dataclasses that shows the one whose `_argument_group_name` is `TRAINING` in two groups."""

    def __init__(self, *arguments: Any, own: Collection[str], **settings: Any) -> None:
        """Creates the parser.

        Args:
            *arguments: As for `HfArgumentParser`.
            own: Fields of the training arguments with a default and a help text of ours.
            **settings: As for `HfArgumentParser`.
        """
        self._own = own
        super().__init__(*arguments, formatter_class=HelpFormatter, **settings)

    def add_argument_group(self, *arguments: Any, **settings: Any) -> Any:
        """Adds a group; for the training arguments, one that passes options of transformers on to another group."""
        group = super().add_argument_group(*arguments, **settings)
        return group if group.title != TRAINING else _Split(group, super().add_argument_group(OTHERS), self._own)


class _Split:
    def __init__(self, ours: _ArgumentGroup, others: _ArgumentGroup, own: Collection[str]) -> None:
        self._ours, self._others, self._own = ours, others, own

    def add_argument(self, option: str, *others: str, **settings: Any) -> Action:
        name = option.removeprefix("--")
        group = self._ours if name in self._own or name.removeprefix("no_") in self._own else self._others
        return group.add_argument(option, *others, **settings)
