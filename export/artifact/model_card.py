"""Model card of an artifact, its README.md."""

from typing import Any

from runtime.artifact.manifest import Manifest, Variant


def model_card(manifest: Manifest) -> str:
    """Returns the model card in Markdown."""
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

Task: {manifest.task}. Labels: {labels}. Texts are truncated at {manifest.max_length} tokens.
Fine-tuned from `{base}` on a data set of {rows} rows (SHA-256 `{manifest.training_data.get("sha256", "unknown")}`).

Metrics of the fp32 model on the test split:

| metric | value |
|---|---|
{metrics}

| variant | file | providers | operators | quality |
|---|---|---|---|---|
{variants}
{notes}
Install the Litmus runtime, a wheel built by `make wheel`, with the extra `[cpu]` or `[gpu]`, and load this folder:

```python
from runtime import load

classifier = load("path/to/this/folder")
print(classifier.predict("a text").label)
```

`litmus.json` lists thresholds, file hashes, golden scores, all metrics and the versions of the tools used.
"""


def _row(variant: Variant) -> str:
    providers = ", ".join(variant.providers)
    return f"| {variant.name} | `{variant.file}` | {providers} | {variant.operators} | {_quality(variant.quality)} |"


def _quality(quality: Any) -> str:
    if "agreement" not in quality:
        return f"largest logit difference from the original model: {quality.get('max_logit_difference', 0):.1e}"
    words = [f"{quality['rows']} rows: {quality['agreement']:.2%} label agreement with fp32"]
    if "metric" in quality:
        name = quality["metric"]
        words.append(f"{name} {quality['metrics'][name]:.4f} (fp32: {quality['fp32_metrics'][name]:.4f})")
    return ", ".join(words)
