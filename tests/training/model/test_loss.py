"""The losses, against formulas written out and against PyTorch's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from training.arguments import parse_args
from training.data.dataset import LabelledData, Split
from training.model.fine_tuning import _objective
from training.model.loss import MAX_WEIGHT, Objective, balanced_weights

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]])
CLASSES = torch.tensor([0, 2])
FLAGS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
CASES = [("single_label", CLASSES), ("multi_label", FLAGS)]


def test_plain_losses_are_pytorchs() -> None:
    """Without options the losses are PyTorch's cross-entropies, with and without label smoothing."""
    torch.testing.assert_close(Objective("single_label")(LOGITS, CLASSES), cross_entropy(LOGITS, CLASSES))
    torch.testing.assert_close(Objective("multi_label")(LOGITS, FLAGS), binary_cross_entropy_with_logits(LOGITS, FLAGS))
    smoothed = Objective("single_label", smoothing=0.1)(LOGITS, CLASSES)
    torch.testing.assert_close(smoothed, cross_entropy(LOGITS, CLASSES, label_smoothing=0.1))


def test_half_precision_logits_are_summed_in_fp32() -> None:
    """The loss of bf16 logits is computed in fp32."""
    assert Objective("single_label")(LOGITS.bfloat16(), CLASSES).dtype == torch.float32


def test_focal_loss_by_hand() -> None:
    """The focal loss weights each term by the power of its error."""
    right = LOGITS.softmax(1)[torch.arange(2), CLASSES]
    expected = ((1 - right) ** 2 * -right.log()).mean()
    torch.testing.assert_close(Objective("single_label", focal_gamma=2.0)(LOGITS, CLASSES), expected)
    right = torch.where(FLAGS > 0, LOGITS.sigmoid(), 1 - LOGITS.sigmoid())
    torch.testing.assert_close(
        Objective("multi_label", focal_gamma=2.0)(LOGITS, FLAGS), ((1 - right) ** 2 * -right.log()).mean()
    )


@pytest.mark.parametrize(("task", "targets"), CASES)
def test_focal_loss_without_focus_is_cross_entropy(task: str, targets: torch.Tensor) -> None:
    """With gamma near 0 the focal loss is the cross-entropy, also with class weights."""
    weights = torch.tensor([1.0, 2.0, 5.0])
    nearly = Objective(task, weights, focal_gamma=1e-6)(LOGITS, targets)
    torch.testing.assert_close(nearly, Objective(task, weights)(LOGITS, targets), rtol=1e-4, atol=1e-5)


def test_balanced_weights() -> None:
    """Rows times weight is equal for all labels with rows, up to the maximum weight."""
    weights = balanced_weights(np.array([0] * 6 + [1] * 2), "single_label", 3)
    assert weights.tolist() == pytest.approx([8 / 18, 8 / 6, 1.0])
    flags = np.zeros((100, 3), np.float32)
    flags[:20, 0] = flags[0, 1] = 1
    assert balanced_weights(flags, "multi_label", 3).tolist() == pytest.approx([4.0, MAX_WEIGHT, 1.0])


@pytest.mark.parametrize(("task", "targets"), CASES)
def test_a_student_that_is_its_teacher_has_nothing_to_learn(task: str, targets: torch.Tensor) -> None:
    """The teacher's term has no gradient if the student's logits equal the teacher's."""
    objective = Objective(task, teacher_weight=1.0, teacher_temperature=2.0)
    for shift, still in ((0.0, True), (torch.tensor([1.0, 0.0, 0.0]), False)):
        student = (LOGITS + shift).requires_grad_()
        objective(student, targets, LOGITS).backward()
        assert (student.grad.abs().max() < 1e-6) == still


@pytest.mark.parametrize(("task", "targets"), CASES)
def test_teacher_and_labels_share_the_loss(task: str, targets: torch.Tensor) -> None:
    """The weight divides the loss between teacher and labels; without a teacher the labels have all of it."""
    teacher = -LOGITS
    both, soft, hard = (Objective(task, teacher_weight=weight)(LOGITS, targets, teacher) for weight in (0.3, 1.0, 0.0))
    torch.testing.assert_close(both, 0.3 * soft + 0.7 * hard)
    torch.testing.assert_close(Objective(task, teacher_weight=0.3)(LOGITS, targets), hard)


def test_options_reach_the_loss(tmp_path: Path) -> None:
    """The command-line options set the parameters of the loss, the teacher's only with a teacher."""
    targets = np.array([0] * 6 + [1] * 2)
    split = Split(("t",) * 8, targets, np.arange(8), ("t",) * 8)
    data = LabelledData("single_label", ("a", "b"), "", (), split, split, split, {})
    options = [
        "--loss",
        "focal",
        "--focal_gamma",
        "3",
        "--class_weights",
        "balanced",
        "--label_smoothing_factor",
        "0.2",
    ]
    options += [
        "--distillation_weight",
        "0.3",
        "--distillation_temperature",
        "4",
        "--output_dir",
        str(tmp_path / "out"),
    ]
    found = _objective(data, parse_args([*options, "--teacher", "x"]))
    assert found.weights.tolist() == balanced_weights(targets, "single_label", 2).tolist()
    assert (found.focal_gamma, found.smoothing, found.teacher_weight, found.teacher_temperature) == (3.0, 0.2, 0.3, 4.0)
    assert _objective(data, parse_args(options)).teacher_weight == 0
    assert _objective(data, parse_args(options[-2:])) == Objective("single_label", teacher_temperature=2.0)


def test_gradient_of_the_teachers_term() -> None:
    """The gradient of the teacher's term is the difference of the softened scores times the temperature (Hinton)."""
    student, teacher = LOGITS.clone().requires_grad_(), -LOGITS
    Objective("single_label", teacher_weight=1.0, teacher_temperature=3.0)(student, CLASSES, teacher).backward()
    difference = (LOGITS / 3).softmax(1) - (teacher / 3).softmax(1)
    torch.testing.assert_close(student.grad, 3 * difference / len(LOGITS))
