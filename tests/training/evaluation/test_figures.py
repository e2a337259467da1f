"""Figures of the report that need no training to check."""

from types import SimpleNamespace

import numpy as np
import pytest

from training.data.dataset import LabelledData, Split
from training.decisions.learning import learn
from training.evaluation.figures import _teacher, judge


def test_teacher_is_judged_as_the_student_is() -> None:
    """The teacher's decision parameters are learned on the validation split, like the student's."""
    random = np.random.default_rng(0)
    targets = {name: (random.random((200, 2)) < 0.3).astype(np.float32) for name in ("validation", "test")}
    shifts = {"validation": 2.0, "test": -1.0}
    logits = {
        name: (4 * flags - 2 + shifts[name] + random.normal(size=flags.shape)).astype(np.float32)
        for name, flags in targets.items()
    }
    splits = {name: Split(("t",) * 200, flags, np.arange(200), ("t",) * 200) for name, flags in targets.items()}
    data = LabelledData("multi_label", ("a", "b"), "", (), splits["validation"], **splits, removed={})
    decisions = learn(logits["validation"], targets["validation"], "multi_label", target_precision=None)
    expected = judge(logits["test"], targets["test"], "multi_label", decisions)
    flattering = learn(logits["test"], targets["test"], "multi_label", target_precision=None)
    assert _teacher(SimpleNamespace(teacher_logits=logits), data) == pytest.approx(expected)
    assert judge(logits["test"], targets["test"], "multi_label", flattering)["micro_f1"] > expected["micro_f1"]
    assert _teacher(SimpleNamespace(teacher_logits={}), data) is None
