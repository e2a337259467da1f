"""`python -m benchmarks quality`: quality of the artifact and of its checkpoint in PyTorch, on the test split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from runtime import Classifier, load
from training.data.dataset import LabelledData
from training.data.record import read_record, training_data
from training.decisions.learning import Decisions, decide
from training.decisions.metrics import TITLES, agreement, quality
from training.model.inference import TEXTS_PER_BATCH, predict_logits

from ..data.texts_file import check_labels
from ..harness.catalog import BASELINE, LITMUS, LITMUS_FP32


def measure(model: str, checkpoint: str) -> dict[str, Any]:
    """Runs PyTorch and the artifact on the test split and compares them with the true labels and with each other.

    Args:
        model: Artifact folder.
        checkpoint: The checkpoint it was exported from, made by `python -m training`.

    Returns:
        The report, ready for JSON: metrics of both, label agreement with PyTorch, largest logit difference.

    Raises:
        DataError: The checkpoint's data set cannot be read.
        ArtifactError: The artifact has other labels than the checkpoint's data set.
    """
    data = training_data(checkpoint)
    decisions = Decisions.from_record(read_record(checkpoint))
    expected = _torch_logits(checkpoint, data)
    expected_decided = decide(expected, data.task, decisions)
    results: dict[str, dict[str, Any]] = {
        BASELINE: {"figures": quality(expected_decided, data.test.targets, data.task)}
    }
    for name, variant in _variants(load(model, provider="cpu")).items():
        found = _artifact_logits(model, variant, data)
        decided = decide(found, data.task, decisions)
        results[name] = {
            "variant": variant,
            "figures": quality(decided, data.test.targets, data.task),
            "label_agreement": agreement(decided, expected_decided),
            "max_logit_difference": float(np.abs(found - expected).max()),
        }
    return {
        "kind": "quality",
        "settings": {
            "model": model,
            "checkpoint": checkpoint,
            "rows": len(data.test.texts),
            "data_sha256": data.sha256,
        },
        "results": results,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as a Markdown table."""
    results = report["results"]
    metrics = list(results[BASELINE]["figures"])
    titles = [TITLES[metric] for metric in metrics]
    lines = [
        f"Quality on the {report['settings']['rows']} rows of the test split, and label agreement with PyTorch.",
        "",
        "| contender | variant | " + " | ".join(titles) + " | label agreement | largest logit difference |",
        "|---" * (len(metrics) + 4) + "|",
    ]
    for name, row in results.items():
        cells = [name, row.get("variant", ""), *(f"{row['figures'][metric]:.4f}" for metric in metrics)]
        if "label_agreement" in row:
            cells += [f"{row['label_agreement']:.2%}", f"{row['max_logit_difference']:.1e}"]
        else:
            cells += ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _variants(classifier: Classifier) -> dict[str, str]:
    """Returns the variants to compare, by contender: the variant for the CPU, and also fp32 if the artifact has it."""
    names = [variant.name for variant in classifier.manifest.variants]
    others = {LITMUS_FP32: "fp32"} if classifier.variant != "fp32" and "fp32" in names else {}
    return {LITMUS: classifier.variant} | others


def _torch_logits(checkpoint: str, data: LabelledData) -> npt.NDArray[np.float32]:
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)  # `python -m training` saves no other
    return predict_logits(model, tokenizer, data.test.texts)


def _artifact_logits(model: str, variant: str, data: LabelledData) -> npt.NDArray[np.float32]:
    classifier = load(model, provider="cpu", variant=variant)
    check_labels(classifier, data, model)
    texts = data.test.texts
    batches = (texts[start : start + TEXTS_PER_BATCH] for start in range(0, len(texts), TEXTS_PER_BATCH))
    return np.concatenate([classifier.logits(batch) for batch in batches])
