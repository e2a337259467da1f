"""The checkpoint's README.md: a Hugging Face model card."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .arguments import Arguments
from .data import LabelledData
from .evaluation import Evaluation

BODY = """---
{{ card_data }}
---

# Text classifier

{{ summary }}

| metric, on {{ rows }} held-out rows | |
|---|---|
{% for name, value in metrics.items() -%}
| {{ name }} | {{ "%.4f" | format(value) }} |
{% endfor %}
{% for warning in warnings -%}
- {{ warning }}
{% endfor %}
`report.md` has every label's figures, plots and mistakes; `training.json` has the arguments, the data's fingerprint,
thresholds and temperature.

```python
from transformers import pipeline

pipeline("text-classification", "this folder")("a text")
```
"""


def write_model_card(folder: Path, data: LabelledData, evaluation: Evaluation, arguments: Arguments) -> None:
    """Writes the card from the same figures as the report."""
    metrics = evaluation.metrics["test"]
    name = arguments.data.dataset or Path(arguments.data.train_file or "").name
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=name,
            dataset_name=name,
            dataset_split="test",
            metric_type=metric,
            metric_value=round(value, 4),
        )
        for metric, value in metrics.items()
    ]
    base = arguments.encoder.teacher or arguments.encoder.model_name_or_path
    hub_id = None if ":" in base or Path(base).exists() else base
    card_data = ModelCardData(
        model_name=folder.name,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=hub_id,
        tags=["litmus", data.task.replace("_", "-")],
        eval_results=results,
    )
    labels = ", ".join(f"`{label}`" for label in data.labels)
    rows = ", ".join(f"{len(part.texts)} {part_name}" for part_name, part in data.parts.items())
    ModelCard.from_template(
        card_data,
        template_str=BODY,
        summary=f"{data.task}, fine-tuned from `{base}` on {name} ({rows}). Labels: {labels}.",
        rows=len(data.test.texts),
        metrics=metrics,
        warnings=evaluation.warnings,
    ).save(folder / "README.md")
