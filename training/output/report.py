"""The training report: `report.html`, and `report.md` with its plots in a folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from ..arguments import Arguments, DataArguments, FineTuningArguments
from ..data.dataset import LabelledData
from ..decisions.learning import Decisions
from ..decisions.metrics import METRICS, TITLES
from ..evaluation.classification import most_confused
from ..evaluation.comparison import MIN_ROWS, Comparison, Lead, spread
from ..evaluation.figures import Evaluation, LabelFigures
from ..evaluation.intervals import Interval
from ..model.fine_tuning import FineTuned
from ..reporting import plots
from ..reporting.document import Block, Bullets, Card, Document, Plot, Section, Table, write
from ..reporting.svg import to_svg

LARGE_GAP = 0.1  # of the main metric


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
    source, test_source = _sources(arguments.data)
    document = Document(
        title=f"Training report: {source}",
        verdict=verdict(evaluation, comparison, data),
        cards=_cards(evaluation, comparison, data),
        summary=_summary(data, arguments),
        sections=[
            Section("Warnings", [Bullets(evaluation.warnings)] if evaluation.warnings else []),
            Section("Metrics", _metrics(evaluation, comparison, decisions, tuned)),
            Section("Seeds", _seeds(comparison, evaluation)),
            Section("Labels", _labels(evaluation, comparison, decisions)),
            Section("Most confused labels", _confused(evaluation, data)),
            Section("Plots", _plots(evaluation, tuned)),
            Section(
                "Most confident wrong predictions",
                _mistakes(evaluation, test_source, show_text=arguments.method.show_text),
            ),
            Section("Training setup", [Table(("", ""), list(facts.items()))]),
            Section("Arguments", _arguments(arguments)),
        ],
    )
    write(document, folder)


def verdict(evaluation: Evaluation, comparison: Comparison, data: LabelledData) -> str:
    """Returns the first line of the report: the main metric, and the comparison with the best baseline."""
    metric, second = METRICS[data.task][:2]
    own = f"{TITLES[metric]} {comparison.model}, {TITLES[second]} {evaluation.metrics['test'][second]:.4f}"
    rows = f"{len(data.test.texts)} test rows"
    return " ".join([_against(comparison.lead, own, rows, TITLES[metric]), *_over_seeds(comparison, metric)])


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
    mean, deviation = figures["mean"], figures["standard_deviation"]
    return [f"Over {len(comparison.seeds)} seeds: {TITLES[metric]} {mean:.4f} ± {deviation:.4f}."]


def _cards(evaluation: Evaluation, comparison: Comparison, data: LabelledData) -> list[Card]:
    """Returns the main metric, the second one, and the gap between training and test split."""
    metric, second = METRICS[data.task][:2]
    test, rows = evaluation.metrics["test"], f"{len(data.test.texts)} test rows"
    cards = [
        Card(f"{comparison.model.value:.4f}", TITLES[metric], f"95 % interval {comparison.model.range}, {rows}"),
        Card(f"{test[second]:.4f}", TITLES[second], rows),
    ]
    if evaluation.gap is not None:
        note = f"95 % interval {evaluation.gap.range}. {_on_gap(evaluation.gap)}"
        cards.append(Card(f"{evaluation.gap.value:+.4f}", f"train-test gap in {TITLES[metric]}", note))
    return cards


def _on_gap(gap: Interval) -> str:
    """Returns the verdict on the gap between training and test split."""
    if gap.low <= 0:
        return "No sign of overfitting."
    if gap.low <= LARGE_GAP:
        return "Better on rows it was fitted on, as most models are."
    return "Overfitted: it knows much of the training rows by heart."


def _metrics(evaluation: Evaluation, comparison: Comparison, decisions: Decisions, tuned: FineTuned) -> list[Block]:
    names = list(evaluation.metrics["test"])
    teacher = {"teacher, test": evaluation.teacher} if evaluation.teacher else {}
    baselines = {f"{name}, test": found.test for name, found in comparison.baselines.items()}
    rows = {**evaluation.metrics, **teacher, **baselines}
    macro = "all labels" if evaluation.confusion is None else "the labels that occur"
    blocks: list[Block] = [
        Table(
            ("split", *(TITLES[name] for name in names)),
            [(row, *(f"{found[name]:.4f}" if name in found else "" for name in names)) for row, found in rows.items()],
        ),
        f"The training split is represented by {len(tuned.sample)} random rows. Nothing was selected on the test "
        f"split. Macro F1 is the mean over {macro}. ECE is the expected calibration error in 15 bins; perfectly "
        "calibrated scores would show the last ECE on this number of rows.",
    ]
    if comparison.lead:
        metric = TITLES[comparison.metric]
        blocks += [
            f"The model is compared with {comparison.lead.baseline}, the best baseline on the validation split. "
            "Intervals are paired percentile bootstraps over the test rows; they do not cover the random seed of the "
            "training.",
            Table(
                ("baseline", "setting, selected on the validation split", f"{metric}, validation", f"{metric}, test"),
                [
                    (
                        name,
                        found.setting,
                        f"{found.validation[comparison.metric]:.4f}",
                        f"{found.test[comparison.metric]:.4f}",
                    )
                    for name, found in comparison.baselines.items()
                ],
            ),
        ]
    if evaluation.selective:
        selective = evaluation.selective
        blocks.append(
            f"The classifier abstains below a score of {decisions.abstain_below:.3f}. On the test split this gives a "
            f"coverage of {100 * selective.coverage:.1f} % and a precision of {100 * selective.precision:.1f} %."
        )
    return blocks


def _seeds(comparison: Comparison, evaluation: Evaluation) -> list[Block]:
    found = spread(comparison.seeds).get("test", {})
    if not found:
        return []
    names = list(evaluation.metrics["test"])
    rows = [(str(seed), *(f"{split['test'][name]:.4f}" for name in names)) for seed, split in comparison.seeds.items()]
    mean = ("mean", *(f"{found[name]['mean']:.4f} ± {found[name]['standard_deviation']:.4f}" for name in names))
    return [
        f"Metrics on the test split of the same training with {len(rows)} seeds. The model of the first seed is kept. "
        "± is the standard deviation.",
        Table(("seed", *(TITLES[name] for name in names)), [*rows, mean]),
    ]


def _labels(evaluation: Evaluation, comparison: Comparison, decisions: Decisions) -> list[Block]:
    many = len(evaluation.labels) > plots.MANY_LABELS
    order = "; lowest F1 first" if many else ""
    thresholds = ["threshold"] if decisions.thresholds else []
    lead = comparison.lead
    other = {} if lead is None else comparison.baselines[lead.baseline].labels
    return [
        Table(
            (
                "label",
                "train",
                "validation",
                "test",
                "precision",
                "recall",
                "F1",
                *(["F1, best baseline"] if other else []),
                *thresholds,
            ),
            [
                (
                    label.name,
                    *(str(label.rows[split]) for split in ("train", "validation", "test")),
                    *(f"{figure:.3f}" for figure in (label.precision, label.recall, label.f1)),
                    *([f"{other[label.name].f1:.3f}"] if other else []),
                    *([] if label.threshold is None else [f"{label.threshold:.3f}"]),
                )
                for label in (_worst_first(evaluation.labels) if many else evaluation.labels)
            ],
            f"Number of rows in each split; precision, recall and F1 on the test split{order}.",
        )
    ]


def _confused(evaluation: Evaluation, data: LabelledData) -> list[Block]:
    if evaluation.confusion is None or len(data.labels) <= plots.MANY_LABELS:
        return []
    return [
        Table(
            ("true label", "predicted label", "test rows", "share of the true label"),
            [
                (pair.true, pair.predicted, str(pair.rows), f"{100 * pair.share:.1f} %")
                for pair in most_confused(evaluation.confusion, data.labels)
            ],
        )
    ]


def _plots(evaluation: Evaluation, tuned: FineTuned) -> list[Block]:
    return [
        Plot(name, to_svg(figure, caption), caption)
        for name, (figure, caption) in draw(evaluation, tuned.history).items()
    ]


def draw(evaluation: Evaluation, history: Sequence[Mapping[str, object]]) -> dict[str, tuple[Figure, str]]:
    """Returns the figures for this evaluation with their captions, by file name."""
    names = [label.name for label in evaluation.labels]
    found = {"learning_curves": (plots.learning_curves(history), "Loss and metrics by epoch")}
    if evaluation.confusion is not None:
        found["confusion_matrix"] = plots.confusion_matrix(evaluation.confusion, names), "Confusion matrix, test split"
    if evaluation.coverage is not None:
        found["coverage"] = (
            plots.coverage(evaluation.coverage, evaluation.selective),
            "Precision by coverage, test split",
        )
    if evaluation.curves:
        f1 = {label.name: label.f1 for label in evaluation.labels}
        curves = plots.precision_recall(evaluation.curves, f1)
        found["precision_recall"] = curves, "Precision and recall of every label, test split"
    caption = "Accuracy by confidence on the test split, with 95 % intervals and the number of rows"
    found["reliability"] = plots.reliability(evaluation.reliability), caption
    return found


def _mistakes(evaluation: Evaluation, source: str, *, show_text: bool) -> list[Block]:
    if not evaluation.mistakes:
        return ["None."]
    return [
        f"Row numbers refer to {source}, from 1, without the header.",
        Table(
            ("row", "true label", "predicted label", "confidence", *(["text"] if show_text else [])),
            [
                (
                    str(mistake.row),
                    mistake.true,
                    mistake.predicted,
                    f"{mistake.confidence:.3f}",
                    *([] if mistake.text is None else [mistake.text]),
                )
                for mistake in evaluation.mistakes
            ],
        ),
    ]


def _arguments(arguments: Arguments) -> list[Block]:
    return [
        "Arguments that differ from their defaults; python -m training --help lists all.",
        Table(("argument", "value"), list(_changed(arguments).items())),
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
        f"{len(data.labels)} labels, {kind}. Rows: {rows}. Data fingerprint {data.sha256}, split seed "
        f"{arguments.data.split_seed}."
    )
