"""Writes `report.md` and `report.html` from one template; the HTML page embeds its plots."""

import base64
import html
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt

from ..arguments import Arguments, DataArguments, FineTuningArguments
from ..data.dataset import LabelledData
from ..decisions.learning import Decisions
from ..decisions.metrics import METRICS
from ..evaluation.comparison import MIN_ROWS, Comparison, Lead, spread
from ..evaluation.figures import Evaluation, LabelFigures, most_confused
from ..model.fine_tuning import FineTuned
from .markdown import plain
from .plots import MANY_LABELS, draw

PLOTS = "report"
CAPTIONS = {
    "learning_curves.png": "Learning curves",
    "confusion_matrix.png": "Confusion matrix",
    "coverage.png": "Precision by coverage",
    "precision_recall.png": "Precision-recall curves",
    "reliability.png": "Reliability diagram",
}
IMAGE = re.compile(rf'src="{PLOTS}/([a-z_]+\.png)"')
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border: 1px solid #8886; padding: .25rem .6rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
img { max-width: 100%; background: white; }
"""


def write_report(
    folder: Path,
    data: LabelledData,
    tuned: FineTuned,
    decisions: Decisions,
    evaluation: Evaluation,
    comparison: Comparison,
    facts: Mapping[str, str],
    arguments: Arguments,
) -> None:
    """Writes the report and its plots.

    Args:
        folder: The checkpoint folder.
        data: The data set with its splits.
        tuned: The fine-tuned model.
        decisions: The learned decision parameters.
        evaluation: The figures.
        comparison: The comparison with baselines and other seeds.
        facts: The rows of the table on the training setup.
        arguments: The command line: for the name of the data, and whether texts may be shown.
    """
    (folder / PLOTS).mkdir(exist_ok=True)
    figures = draw(evaluation, tuned.history)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing", UserWarning
        )  # a script that the font lacks is drawn as boxes
        for name, figure in figures.items():
            figure.savefig(folder / PLOTS / name)
    figure_names = [name for name in CAPTIONS if name in figures]
    text = _render(data, tuned, decisions, evaluation, comparison, facts, figure_names, arguments)
    (folder / "report.md").write_text(text, "utf-8")
    (folder / "report.html").write_text(_page(text, _sources(arguments.data)[0], folder), "utf-8")


def _render(
    data: LabelledData,
    tuned: FineTuned,
    decisions: Decisions,
    evaluation: Evaluation,
    comparison: Comparison,
    facts: Mapping[str, str],
    figure_names: Sequence[str],
    arguments: Arguments,
) -> str:
    """Fills the template in; arguments as for `write_report`."""
    source, test_source = _sources(arguments.data)
    many, confusion = len(data.labels) > MANY_LABELS, evaluation.confusion
    teacher = {"teacher, test": evaluation.teacher} if evaluation.teacher else {}
    baselines = {f"{name}, test": found.test for name, found in comparison.baselines.items()}
    template = _environment().from_string(_template())
    return template.render(
        verdict=verdict(evaluation, comparison, data),
        source=source,
        test_source=test_source,
        summary=_summary(data, arguments),
        sample=len(tuned.sample),
        evaluation=evaluation,
        labels=_worst_first(evaluation.labels) if many else evaluation.labels,
        confused=most_confused(confusion, data.labels) if many and confusion is not None else (),
        comparison=comparison,
        spread=spread(comparison.seeds).get("test", {}),
        many=many,
        changed=_changed(arguments),
        decisions=decisions,
        rows={**evaluation.metrics, **teacher, **baselines},
        metric_names=list(evaluation.metrics["test"]),
        plots={name: CAPTIONS[name] for name in figure_names},
        show_text=arguments.method.show_text,
        facts=facts,
    )


def verdict(evaluation: Evaluation, comparison: Comparison, data: LabelledData) -> str:
    """Returns the first line of the report: the main metric, and the comparison with the best baseline."""
    metric, second = METRICS[data.task][:2]
    own = f"{metric} {comparison.model}, {second} {evaluation.metrics['test'][second]:.4f}"
    rows = f"{len(data.test.texts)} test rows"
    return " ".join([_against(comparison.lead, own, rows, metric), *_over_seeds(comparison, metric)])


def _against(lead: Lead | None, own: str, rows: str, metric: str) -> str:
    if lead is None:
        return f"On {rows}: {own}."
    baseline, difference = (
        f"{lead.baseline} ({lead.setting})",
        f"{lead.difference.low:+.4f} to {lead.difference.high:+.4f}",
    )
    if lead.winner == "model":
        return (
            f"On {rows}: {own}. The best baseline on the validation split, {baseline}, has {metric} "
            f"{lead.figure.value:.4f}: a lead of {lead.difference}."
        )
    if lead.winner == "baseline":
        return (
            f"A baseline is better: {baseline} has {metric} {lead.figure}, this model has {own}, on {rows}. "
            f"The 95 % interval of the difference is {difference}."
        )
    why = (
        f"the 95 % interval of the difference, {difference}, includes zero"
        if lead.rows >= MIN_ROWS
        else f"{lead.rows} rows are too few to tell"
    )
    return (
        f"No clear winner on {rows}: this model has {own}; the best baseline on the validation split, {baseline}, has "
        f"{metric} {lead.figure.value:.4f}; {why}."
    )


def _over_seeds(comparison: Comparison, metric: str) -> list[str]:
    figures = spread(comparison.seeds).get("test", {}).get(metric)
    if figures is None:
        return []
    return [
        f"Over {len(comparison.seeds)} seeds: {metric} {figures['mean']:.4f} ± {figures['standard_deviation']:.4f}."
    ]


def _sources(arguments: DataArguments) -> tuple[str, str]:
    """Returns the names of the data set and of the file with the test rows."""
    name = arguments.dataset or Path(arguments.train_file or "").name
    return name, name if arguments.test_file is None else Path(arguments.test_file).name


def _worst_first(labels: Sequence[LabelFigures]) -> list[LabelFigures]:
    """Sorts labels by F1; labels without test rows come last."""
    return sorted(labels, key=lambda label: (label.rows["test"] == 0, label.f1))


def _changed(arguments: Arguments) -> dict[str, str]:
    """Returns the arguments that differ from their defaults, as JSON."""
    training = arguments.training
    plain = FineTuningArguments(training.output_dir, use_cpu=training.use_cpu, disable_tqdm=training.disable_tqdm)
    groups = [(asdict(group), asdict(type(group)())) for group in arguments[:3]]
    pairs = [*groups, tuple(group.to_dict() for group in (training, plain))]  # type: ignore[no-untyped-call]  # not annotated
    changed = {
        name: value for values, defaults in pairs for name, value in values.items() if value != defaults.get(name)
    }
    return {name: json.dumps(value, ensure_ascii=False, default=str) for name, value in changed.items()}


def _summary(data: LabelledData, arguments: Arguments) -> str:
    rows = ", ".join(f"{len(split.texts)} {name}" for name, split in data.splits.items())
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
    return (files("training") / "templates" / "report.md.j2").read_text("utf-8")


def _page(text: str, title: str, folder: Path) -> str:
    """Renders the Markdown as an HTML page without references to other files."""

    def embedded(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / PLOTS / match[1]).read_bytes()).decode("ascii")
        return f'src="data:image/png;base64,{content}"'

    body = IMAGE.sub(embedded, MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}</body></html>\n"
    )
