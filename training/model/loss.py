"""The training objective: cross-entropy or focal loss, with class weights, and optionally a teacher's scores."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    log_softmax,
    logsigmoid,
    softmax,
)

from runtime.artifact.manifest import Task

from ..arrays import Targets

MAX_WEIGHT = 20.0  # with more, a single rare row would dominate a step


def balanced_weights(targets: Targets, task: Task, labels: int) -> torch.Tensor:
    """Returns class weights that give rare labels as much weight as frequent ones, at most `MAX_WEIGHT`.

    Args:
        targets: As returned by `labels.encode`.
        task: Single-label: rows / (labels x rows of the label), as scikit-learn's `balanced`. Multi-label: negatives /
            positives, applied to positive rows only.
        labels: Number of labels.

    Returns:
        (labels,) float32; 1 for a label without rows.
    """
    if task == "single_label":
        counts = np.bincount(targets, minlength=labels).astype(np.float64)
        weights = len(targets) / (labels * np.maximum(counts, 1))
    else:
        counts = targets.sum(axis=0, dtype=np.float64)
        weights = (len(targets) - counts) / np.maximum(counts, 1)
    weights = np.where(counts > 0, np.clip(weights, 1 / MAX_WEIGHT, MAX_WEIGHT), 1)
    return torch.from_numpy(weights.astype(np.float32))


@dataclass(frozen=True)
class Objective:
    """The loss of a batch, a mean over its rows (and labels, for multi-label).

    Attributes:
        task: Single-label: softmax; multi-label: a sigmoid per label.
        weights: (labels,) float32 class weights, as returned by `balanced_weights`, or None.
        focal_gamma: Gamma of the focal loss (Lin et al. 2017, arXiv:1708.02002); 0 is cross-entropy.
        smoothing: Single-label: label smoothing, 0 to 1.
        teacher_weight: Weight of the teacher in the loss, 0 to 1; used if its logits are given.
        teacher_temperature: Divides the logits of student and teacher before they are compared (Hinton et al. 2015,
            arXiv:1503.02531); the loss is multiplied by its square, to keep the size of the gradient.
    """

    task: Task
    weights: torch.Tensor | None = None
    focal_gamma: float = 0.0
    smoothing: float = 0.0
    teacher_weight: float = 0.0
    teacher_temperature: float = 1.0

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, teacher: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Computes the loss.

        Args:
            logits: (rows, labels), any floating type.
            targets: (rows,) int64 or (rows, labels) float32.
            teacher: (rows, labels) logits of the teacher, or None.

        Returns:
            A scalar, float32.
        """
        logits = logits.float()
        weights = None if self.weights is None else self.weights.to(logits.device)
        loss = self._hard(logits, targets, weights)
        if teacher is None or not self.teacher_weight:
            return loss
        return (1 - self.teacher_weight) * loss + self.teacher_weight * self._soft(logits, teacher.float())

    def _hard(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        if self.task == "single_label":
            if not self.focal_gamma:
                return cross_entropy(logits, targets, weight=weights, label_smoothing=self.smoothing)
            rows = cross_entropy(logits, targets, reduction="none", label_smoothing=self.smoothing)
            right = softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]
            scale = torch.ones_like(rows) if weights is None else weights[targets]
            return (scale * (1 - right) ** self.focal_gamma * rows).sum() / scale.sum()
        targets = targets.float()
        cells = binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
        if self.focal_gamma:
            right = torch.where(targets > 0, logsigmoid(logits), logsigmoid(-logits)).exp()
            cells = (1 - right) ** self.focal_gamma * cells
        return cells.mean()

    def _soft(self, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        student, teacher = logits / self.teacher_temperature, teacher / self.teacher_temperature
        if self.task == "single_label":
            found = kl_div(log_softmax(student, 1), log_softmax(teacher, 1), reduction="batchmean", log_target=True)
        else:
            found = binary_cross_entropy_with_logits(student, teacher.sigmoid())
        return found * self.teacher_temperature**2
