"""The command line's parser, whose `--help` has our options before the hundred that are transformers' alone."""

from argparse import Action, _ArgumentGroup
from collections.abc import Collection
from typing import Any

from transformers import HfArgumentParser

TRAINING = "training"
OTHERS = "of transformers' TrainingArguments"


class GroupedParser(HfArgumentParser):
    """Parses dataclasses; the one whose `_argument_group_name` is `TRAINING` is shown in two groups."""

    def __init__(self, *arguments: Any, own: Collection[str], **settings: Any) -> None:
        """Makes the parser.

        Args:
            *arguments: As for `HfArgumentParser`.
            own: Fields of the training arguments that have a default and a help text of ours.
            **settings: As for `HfArgumentParser`.
        """
        self._own = own
        super().__init__(*arguments, **settings)

    def add_argument_group(self, *arguments: Any, **settings: Any) -> Any:
        """Adds a group; for the training arguments one that hands those of transformers alone to another."""
        group = super().add_argument_group(*arguments, **settings)
        return group if group.title != TRAINING else _Split(group, super().add_argument_group(OTHERS), self._own)


class _Split:
    def __init__(self, ours: _ArgumentGroup, others: _ArgumentGroup, own: Collection[str]) -> None:
        self._ours, self._others, self._own = ours, others, own

    def add_argument(self, option: str, *others: str, **settings: Any) -> Action:
        name = option.removeprefix("--")
        group = self._ours if name in self._own or name.removeprefix("no_") in self._own else self._others
        return group.add_argument(option, *others, **settings)
