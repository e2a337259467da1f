"""The results of the demo's steps, as shown at the end of each line."""

import json
from pathlib import Path
from typing import Any


def trained(checkpoint: Path) -> str:
    """Returns the checkpoint's accuracy on the test split."""
    return f"test accuracy {_read(checkpoint / 'training.json')['metrics']['test']['accuracy']:.4f}"


def exported(artifact: Path, *, rejected: bool) -> str:
    """Returns the artifact's variants with their sizes, and whether the quality gate rejected the int8 variant."""
    manifest = _read(artifact / "litmus.json")
    sizes = {item["name"]: manifest["files"][item["file"]]["size_bytes"] / 1e6 for item in manifest["variants"]}
    text = ", ".join(f"{name} {size_mb:.1f} MB" for name, size_mb in sizes.items())
    return f"{text}, int8 rejected by the quality gate" if rejected else text


def predicted(output: str) -> str:
    """Returns the label and its score from the output of `runtime.predict`."""
    row = json.loads(next(line for line in reversed(output.splitlines()) if line.startswith("{")))
    return ", ".join(f"{label} {row['scores'][label]:.2f}" for label in row["labels"]) or "abstained"


def quality(report: Path) -> str:
    """Returns the artifact's label agreement with PyTorch."""
    return f"{_read(report)['results']['litmus']['label_agreement']:.2%} label agreement with PyTorch"


def latency(report: Path) -> str:
    """Returns the median latency of one real text, in PyTorch and in Litmus."""
    results = _read(report)["results"]
    workloads = [next(iter(results[name]["workloads"].values())) for name in ("pytorch-fp32", "litmus")]
    return "PyTorch {:.2f} ms, Litmus {:.2f} ms per text".format(*(figures["median_ms"] for figures in workloads))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content
