"""The table at the end of `make demo`: quality, latency and size of PyTorch and of the artifact, side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.artifact.folder import open_artifact
from training.arguments import DataArguments
from training.data import wisconsin
from training.data.dataset import LabelledData, load_data
from training.data.record import training_data
from training.decisions.metrics import TITLES, quality

from ..harness.catalog import LITMUS


def summary(latency: Mapping[str, Any], quality_report: Mapping[str, Any]) -> str:
    """Joins a latency report and a quality report of one artifact.

    Args:
        latency: From `latency.measure`, with PyTorch fp32 and Litmus among the contenders.
        quality_report: From `quality.measure`.

    Returns:
        Markdown.
    """
    settings = quality_report["settings"]
    model, checkpoint = settings["model"], settings["checkpoint"]
    metrics = list(quality_report["results"][LITMUS]["figures"])
    lines = [
        "",
        "| | " + " | ".join(TITLES[metric] for metric in metrics) + " | ms per text | speedup | size, MB |",
        "|---" * (len(metrics) + 4) + "|",
    ]
    for name, result in quality_report["results"].items():
        if name not in latency["results"]:
            continue
        variant = result.get("variant")
        title, size_mb = (
            ("PyTorch", _torch_mb(checkpoint)) if variant is None else (f"Litmus {variant}", _size_mb(model, variant))
        )
        figures = " | ".join(f"{result['figures'][metric]:.4f}" for metric in metrics)
        speed = next(iter(latency["results"][name]["workloads"].values()))  # the first workload is real texts
        lines.append(f"| {title} | {figures} | {speed['median_ms']:.2f} | {speed['speedup']:.2f}x | {size_mb:.1f} |")
    agreement = quality_report["results"][LITMUS]["label_agreement"]
    data = training_data(checkpoint)
    if data.sha256 == load_data(DataArguments(dataset="wisconsin")).sha256:
        lines.append(_reference(data, metrics))
    return "\n".join(lines) + (
        f"\n\n{settings['rows']} rows of the test split; label agreement of Litmus with PyTorch {agreement:.2%}; "
        f"one text at a time, {latency['machine']['threads']} threads.\n\n"
        f"artifact:  {model}\n"
        f"try it:    .venv/bin/python -m runtime.predict --model {model} 'your text'\n"
        "your data: see README.md\n"
    )


def _reference(data: LabelledData, metrics: list[str]) -> str:
    """Returns the row of a model that is fitted on the measurements behind the texts, on the same split."""
    decided = wisconsin.logistic_regression(data.train.rows, data.test.rows)
    figures = quality(decided, data.test.targets, data.task)
    cells = " | ".join(f"{figures[metric]:.4f}" for metric in metrics)
    return f"| logistic regression on the raw measurements | {cells} | | | |"


def _torch_mb(checkpoint: str) -> float:
    return (Path(checkpoint) / "model.safetensors").stat().st_size / 1e6


def _size_mb(model: str, variant: str) -> float:
    manifest = open_artifact(model).manifest
    file = next(item.file for item in manifest.variants if item.name == variant)
    return manifest.files[file].size_bytes / 1e6
