"""The artifact's README.md, made from its manifest."""

from runtime.manifest import Manifest


def model_card(manifest: Manifest) -> str:
    """Returns a short model card in Markdown."""
    base = manifest.base_model.get("name", "unknown")
    rows = manifest.training_data.get("rows", "unknown")
    metrics = (
        "\n".join(f"| {name} | {value:.4f} |" for name, value in manifest.metrics.items()) or "| none recorded | |"
    )
    variants = "\n".join(
        f"| {variant.name} | `{variant.file}` | {', '.join(variant.providers)} | "
        f"{', '.join(f'{name} {value:.3g}' for name, value in variant.quality.items())} |"
        for variant in manifest.variants
    )
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

| variant | file | for | against PyTorch |
|---|---|---|---|
{variants}

Use it with `pip install 'litmus-onnx[cpu]'`:

```python
from runtime import load

print(load("this folder").predict("a text").label)
```

`litmus.json` has thresholds, hashes, golden scores and the versions of the tools that made this.
"""
