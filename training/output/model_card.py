"""The checkpoint's README.md: a Hugging Face model card."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..arguments import Arguments
from ..data.dataset import LabelledData
from ..decisions.learning import Decisions
from ..decisions.metrics import TITLES
from ..evaluation.figures import Evaluation
from ..reporting.markdown import plain

FOLDED = "A transformers pipeline computes the same\ncalibrated scores but uses neither thresholds nor abstaining, and"
NOT_FOLDED = (
    "A transformers pipeline uses neither\ntemperature nor thresholds, so its scores differ from the runtime, and it"
)
BODY = """---
{{ card_data }}
---

# Text classifier

{{ summary }}

| metric on the test split, {{ rows }} rows | |
|---|---|
{% for name, value in metrics.items() -%}
| {{ name }} | {{ "%.4f" | format(value) }} |
{% endfor %}
{% for warning in warnings -%}
- {{ warning }}
{% endfor %}
`report.md` has the metrics of every label, plots, and the most confident wrong predictions. `training.json` has the
arguments, the fingerprint of the data, and the decision parameters. {{ decisions }} truncates texts
only with `truncation=True`:

```python
from transformers import pipeline

pipeline("text-classification", "this folder", top_k=None)("a text", truncation=True)
```
"""


def write_model_card(
    folder: Path, data: LabelledData, decisions: Decisions, evaluation: Evaluation, arguments: Arguments
) -> None:
    """Writes the card with the figures of the report; `decisions` are those for the model as written."""
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
    shown = plain(Path(base).name if local else base)  # a card may be published, the machine's folders should not be
    card_data = ModelCardData(
        model_name=folder.resolve().name,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=None if local else base,
        tags=["litmus", data.task.replace("_", "-")],
        eval_results=results,
    )
    labels = ", ".join(plain(label) for label in data.labels)
    task = data.task.replace("_", "-").capitalize()
    rows = ", ".join(f"{len(split.texts)} {split_name}" for split_name, split in data.splits.items())
    ModelCard.from_template(
        card_data,
        template_str=BODY,
        summary=f"{task}, fine-tuned from {shown} on {plain(name)} (rows: {rows}). Labels: {labels}.",
        rows=len(data.test.texts),
        metrics={TITLES[metric]: value for metric, value in metrics.items()},
        decisions=FOLDED if decisions.temperature == 1 else NOT_FOLDED,
        warnings=[plain(warning) for warning in evaluation.warnings],
    ).save(folder / "README.md")
