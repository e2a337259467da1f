"""`report.md` and `report.html` beside the checkpoint, from one template; the page carries its plots in itself."""

import base64
import html
import re
import warnings
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt

from .arguments import Arguments
from .data import LabelledData
from .decisions import Decisions
from .evaluation import Evaluation
from .fine_tuning import FineTuned
from .markdown import plain
from .metrics import METRICS
from .plots import draw

PLOTS = "report"
CAPTIONS = {
    "learning_curves.png": "Learning curves",
    "confusion_matrix.png": "Confusion matrix",
    "precision_recall.png": "Precision and recall of every label",
    "reliability.png": "Reliability diagram",
}
IMAGE = re.compile(rf'src="{PLOTS}/([a-z_]+\.png)"')
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border: 1px solid #8886; padding: .25rem .6rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
img { max-width: 100%; background: white; }
"""


def write_report(
    folder: Path,
    data: LabelledData,
    tuned: FineTuned,
    decisions: Decisions,
    evaluation: Evaluation,
    baselines: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, str],
    arguments: Arguments,
) -> None:
    """Writes the report and its plots.

    Args:
        folder: The checkpoint's.
        data: The data set, split.
        tuned: The model.
        decisions: As learned.
        evaluation: Every figure.
        baselines: Figures by name; may be empty.
        facts: What was used, in words.
        arguments: For the name of the data, and whether texts may be shown.
    """
    (folder / PLOTS).mkdir(exist_ok=True)
    figures = draw(evaluation, tuned.history)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # boxes in place of a script's letters
        for name, figure in figures.items():
            figure.savefig(folder / PLOTS / name)
    source = arguments.data.dataset or Path(arguments.data.test_file or arguments.data.train_file or "").name
    text = (
        _environment()
        .from_string(_template())
        .render(
            verdict=verdict(evaluation, baselines, data),
            source=source,
            summary=_summary(data, arguments),
            sample=len(tuned.sample),
            evaluation=evaluation,
            decisions=decisions,
            rows={
                **evaluation.metrics,
                **({"teacher, test": evaluation.teacher} if evaluation.teacher else {}),
                **{f"{name}, test": figures for name, figures in baselines.items()},
            },
            metric_names=list(evaluation.metrics["test"]),
            plots={name: CAPTIONS[name] for name in CAPTIONS if name in figures},
            show_text=arguments.method.show_text,
            facts=facts,
        )
    )
    (folder / "report.md").write_text(text, "utf-8")
    (folder / "report.html").write_text(_page(text, source, folder), "utf-8")


def verdict(evaluation: Evaluation, baselines: Mapping[str, Mapping[str, float]], data: LabelledData) -> str:
    """Returns the report's first line: a baseline that wins is named there."""
    test = evaluation.metrics["test"]
    own = ", ".join(f"{name} {test[name]:.4f}" for name in METRICS[data.task][:2])
    better = [
        f"{name} has {metric} {figures[metric]:.4f}"
        for metric in METRICS[data.task][:2]
        for name, figures in [max(baselines.items(), key=lambda item: item[1][metric], default=("", {}))]
        if figures and figures[metric] > test[metric]
    ]
    if better:
        return f"A baseline wins: {'; '.join(better)}. This model has {own}."
    against = f"; none of {len(baselines)} baselines is better" if baselines else ""
    return f"On {len(data.test.texts)} held-out rows: {own}{against}."


def _summary(data: LabelledData, arguments: Arguments) -> str:
    rows = ", ".join(f"{len(part.texts)} {name}" for name, part in data.parts.items())
    kind = "one label per text" if data.task == "single_label" else "any number of labels per text"
    return (
        f"{len(data.labels)} labels, {kind}. Rows: {rows}. Data fingerprint `{data.sha256}`, split seed "
        f"{arguments.data.split_seed}."
    )


def _environment() -> Environment:
    environment = Environment(  # noqa: S701 - Markdown is not HTML; `plain` escapes it
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["plain"] = plain
    return environment


def _template() -> str:
    return (files(__package__) / "templates" / "report.md.j2").read_text("utf-8")


def _page(text: str, title: str, folder: Path) -> str:
    """Makes a page of the Markdown, without references to other files."""

    def embedded(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / PLOTS / match[1]).read_bytes()).decode("ascii")
        return f'src="data:image/png;base64,{content}"'

    body = IMAGE.sub(embedded, MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}</body></html>\n"
    )
