"""Reports a training while it runs: a progress bar, and a line in the log for each evaluation."""

# ruff: noqa: ARG002 - transformers calls all of these methods with the same arguments

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..phases import Phase, duration

logger = logging.getLogger(__name__)


class EpochReport(TrainerCallback):
    """Replaces transformers' progress bar and its dictionaries of figures."""

    def __init__(self, running: Phase, metric: str, training_loss: Callable[[], float]) -> None:
        """Starts the clock.

        Args:
            running: The phase of the training.
            metric: The name of the metric to show beside the losses.
            training_loss: Returns the mean training loss since it was called last.
        """
        self._running, self._metric, self._training_loss = running, metric, training_loss
        self._reported = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Draws the bar: empty, or where a resumed training starts."""
        self._running.expect(state.max_steps, state.global_step)

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Shows which epoch begins."""
        self._running.note = f"epoch {int(state.epoch or 0) + 1} of {state.num_train_epochs:g}"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Advances the bar."""
        self._running.advance()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Logs the training loss of an epoch after which nothing is evaluated."""
        if args.eval_strategy == "no":
            self._log(state, {})

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Logs losses, metric and time since the last such line."""
        found = metrics or {}
        shown = {"validation loss": found.get("eval_loss"), self._metric: found.get(f"eval_{self._metric}")}
        self._log(state, {name: value for name, value in shown.items() if value is not None})

    def _log(self, state: TrainerState, figures: Mapping[str, float]) -> None:
        now = time.monotonic()
        shown = {"training loss": self._training_loss(), **figures}
        logger.info(
            "epoch %g of %g: %s, %s",
            round(state.epoch or 0, 2),
            state.num_train_epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in shown.items()),
            duration(now - self._reported),
        )
        self._reported = now
