"""`python -m benchmarks quality`: does the artifact decide as well as its checkpoint, on rows that nothing has seen?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from runtime import load
from training.data import LabelledData
from training.fine_tuning import TEXTS_PER_BATCH, predict_logits
from training.metrics import decide, quality

from .data import check_labels, training_data


def measure(model: str, checkpoint: str) -> dict[str, Any]:
    """Runs PyTorch and the artifact on the test part and compares both with the truth and with each other.

    Returns:
        The report, ready for JSON: figures of both, share of texts with the same decision, largest logit difference.

    Raises:
        DataError: The checkpoint's data set cannot be read again.
        ArtifactError: The artifact has other labels than the checkpoint's data set.
    """
    data = training_data(checkpoint)
    expected = _torch_logits(checkpoint, data)
    found = _artifact_logits(model, data)
    decided, expected_decided = decide(found, data.task), decide(expected, data.task)
    same = decided == expected_decided
    return {
        "kind": "quality",
        "settings": {
            "model": model,
            "checkpoint": checkpoint,
            "rows": len(data.test.texts),
            "data_sha256": data.sha256,
        },
        "results": {
            "pytorch-fp32": quality(expected_decided, data.test.targets, data.task),
            "litmus": quality(decided, data.test.targets, data.task),
        },
        "same_decision": float((same if same.ndim == 1 else same.all(axis=1)).mean()),
        "max_logit_difference": float(np.abs(found - expected).max()),
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    results = report["results"]
    metrics = list(next(iter(results.values())))
    lines = [
        f"Quality on {report['settings']['rows']} held-out rows: {report['same_decision']:.2%} of the decisions are "
        f"the same, largest logit difference {report['max_logit_difference']:.1e}.",
        "",
        "| | " + " | ".join(metrics) + " |",
        "|---" * (len(metrics) + 1) + "|",
    ]
    for name, row in results.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[metric]:.4f}" for metric in metrics) + " |")
    return "\n".join(lines) + "\n"


def _torch_logits(checkpoint: str, data: LabelledData) -> npt.NDArray[np.float32]:
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype="float32")
    return predict_logits(model, AutoTokenizer.from_pretrained(checkpoint), data.test.texts)


def _artifact_logits(model: str, data: LabelledData) -> npt.NDArray[np.float32]:
    classifier = load(model, provider="cpu")
    check_labels(classifier, data, model)
    texts = data.test.texts
    batches = (texts[start : start + TEXTS_PER_BATCH] for start in range(0, len(texts), TEXTS_PER_BATCH))
    return np.concatenate([classifier.logits(batch) for batch in batches])
