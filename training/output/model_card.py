"""The checkpoint's README.md: a Hugging Face model card."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..arguments import Arguments
from ..data.dataset import LabelledData
from ..decisions.learning import Decisions
from ..evaluation.figures import Evaluation
from .markdown import plain

FOLDED = (
    "thresholds and the score\nbelow which no label is given. transformers computes the same scores, calibrated, "
    "but uses neither of the two"
)
NOT_FOLDED = "thresholds and\ntemperature. transformers uses neither of the two, so its scores are others"
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
{{ decisions }}, and cuts texts only if it is told to:

```python
from transformers import pipeline

pipeline("text-classification", "this folder", top_k=None)("a text", truncation=True)
```
"""


def write_model_card(
    folder: Path, data: LabelledData, decisions: Decisions, evaluation: Evaluation, arguments: Arguments
) -> None:
    """Writes the card from the same figures as the report; `decisions` are those of the model that was written."""
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
    base = arguments.encoder.origin
    local = ":" in base or Path(base).exists()
    shown = plain(Path(base).name if local else base)  # a card is published, the folders of a machine are not
    card_data = ModelCardData(
        model_name=folder.resolve().name,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=None if local else base,
        tags=["litmus", data.task.replace("_", "-")],
        eval_results=results,
    )
    labels = ", ".join(plain(label) for label in data.labels)
    rows = ", ".join(f"{len(part.texts)} {part_name}" for part_name, part in data.splits.items())
    ModelCard.from_template(
        card_data,
        template_str=BODY,
        summary=f"{plain(data.task)}, fine-tuned from {shown} on {plain(name)} ({rows}). Labels: {labels}.",
        rows=len(data.test.texts),
        metrics=metrics,
        decisions=FOLDED if decisions.temperature == 1 else NOT_FOLDED,
        warnings=[plain(warning) for warning in evaluation.warnings],
    ).save(folder / "README.md")
