"""The artifact's README.md, made from its manifest."""

from typing import Any

from runtime.artifact.manifest import Manifest, Variant


def model_card(manifest: Manifest) -> str:
    """Returns a short model card in Markdown."""
    base = manifest.base_model.get("name", "unknown")
    rows = manifest.training_data.get("rows", "unknown")
    metrics = (
        "\n".join(f"| {name} | {value:.4f} |" for name, value in manifest.metrics.items()) or "| none recorded | |"
    )
    variants = "\n".join(_row(variant) for variant in manifest.variants)
    warnings = [
        f"- {variant.name} was {warning}."
        for variant in manifest.variants
        for warning in variant.quality.get("warnings", ())
    ]
    notes = "\n".join(["", "Warnings:", "", *warnings, ""]) if warnings else ""
    labels = ", ".join(f"`{label}`" for label in manifest.labels)
    return f"""---
library_name: onnx
pipeline_tag: text-classification
---

# Text classifier

Task: {manifest.task}. Labels: {labels}. At most {manifest.max_length} tokens per text.
Fine-tuned from `{base}` on a data set of {rows} rows (fingerprint `{manifest.training_data.get("sha256", "unknown")}`).

Held-out quality of the PyTorch checkpoint:

| metric | value |
|---|---|
{metrics}

| variant | file | for | operators | quality |
|---|---|---|---|---|
{variants}
{notes}
Use it with the runtime of Litmus, the wheel that its `make wheel` builds, installed with `[cpu]` or `[gpu]`:

```python
from runtime import load

print(load("this folder").predict("a text").label)
```

`litmus.json` has thresholds, hashes, golden scores, every figure and the versions of the tools that made this.
"""


def _row(variant: Variant) -> str:
    providers = ", ".join(variant.providers)
    return f"| {variant.name} | `{variant.file}` | {providers} | {variant.operators} | {_quality(variant.quality)} |"


def _quality(quality: Any) -> str:
    if "agreement" not in quality:
        return f"largest logit difference {quality.get('max_logit_difference', 0):.1e}"
    words = [f"{quality['rows']} rows: {quality['agreement']:.2%} decided as by fp32"]
    if "metric" in quality:
        name = quality["metric"]
        words.append(f"{name} {quality['metrics'][name]:.4f} (fp32: {quality['fp32_metrics'][name]:.4f})")
    return ", ".join(words)
