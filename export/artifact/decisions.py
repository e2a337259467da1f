"""Decision parameters of an artifact: as learned in training, or as requested on the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from training.arrays import Floats
from training.decisions.learning import DEFAULT_THRESHOLD, MIN_POSITIVES, Decisions, decide, learn_abstain_level
from training.decisions.metrics import METRICS, quality
from training.decisions.temperature import scores

from ..console import log_progress
from ..errors import ExportError
from ..sources.calibration_data import EvaluationData, LabelledTexts
from ..sources.config_files import BEST_THRESHOLDS, published_thresholds
from ..sources.source import Source

Logits = Callable[[LabelledTexts], Floats]
Given = TypeVar("Given", bound=Source)
ABSTAINING = ("coverage", "precision")  # share of rows that get a label, and share of those labels that is correct


@dataclass(frozen=True)
class Request:
    """Decision parameters requested on the command line.

    Attributes:
        target_precision: Single-label: precision to reach on the validation split by abstaining, above 0 and up to 1.
        threshold: Single-label: score below which the classifier abstains. Multi-label: threshold of every label.
        thresholds: Multi-label: thresholds of single labels; they take precedence over `threshold`.
    """

    target_precision: float | None = None
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is requested, so that training's decisions ship."""
        return self == Request()


def short_names(source: Source, names: Mapping[str, str]) -> tuple[str, ...] | None:
    """Returns the short names of all labels, in their order; None if there are none.

    Args:
        source: The folder that is exported.
        names: Short name by label; other labels keep their own.

    Raises:
        ExportError: A label is unknown, or two labels would have the same name.
    """
    unknown = [label for label in names if label not in source.labels]
    if unknown:
        raise ExportError(
            f"--label-short-names: no label {unknown[0]!r:.80}; the labels are: {', '.join(source.labels)}"
        )
    found = tuple(names.get(label, label) for label in source.labels)
    if len({*found}) < len(found):
        raise ExportError("--label-short-names: two labels would have the same name; expected distinct names")
    return found if names else None


def check_request(source: Source, request: Request) -> None:
    """Checks a request against a source before anything is exported.

    Raises:
        ExportError: An option is for the other task, a label is unknown, or there is no validation split to learn on.
    """
    if source.task == "multi_label" and request.target_precision is not None:
        raise ExportError(
            "--target-precision is for single-label models, and this model is multi-label; pass --threshold or "
            "--thresholds"
        )
    if source.task == "single_label" and request.thresholds:
        raise ExportError(
            "--thresholds is for multi-label models, and this model is single-label; pass --threshold, the score below "
            "which it abstains"
        )
    unknown = [label for label in request.thresholds if label not in source.labels]
    if unknown:
        raise ExportError(f"--thresholds: no label {unknown[0]!r:.80}; the labels are: {', '.join(source.labels)}")
    if request.target_precision is not None and "data_arguments" not in source.record:
        raise ExportError(
            f"{source.folder} has no record of its training data, and --target-precision is learned on its validation "
            "split; pass --threshold SCORE instead"
        )


def with_published_thresholds(source: Given, request: Request) -> Given:
    """Returns a multi-label source of another tool with the thresholds of its `best_thresholds.json`, if it has one.

    The file is not read if `--threshold` sets every label; a label of `--thresholds` takes precedence over it.

    Raises:
        CheckpointError: The file does not fit the labels.
    """
    foreign = source.task == "multi_label" and not source.record
    if not foreign or request.threshold is not None or not (source.folder / BEST_THRESHOLDS).is_file():
        return source
    thresholds = published_thresholds(source.folder, source.labels)
    log_progress(f"thresholds: from {BEST_THRESHOLDS} of the checkpoint")
    return replace(source, decisions=replace(source.decisions, thresholds=thresholds))


def with_decisions(source: Given, request: Request, data: EvaluationData | None, logits: Logits) -> Given:
    """Returns the source with the requested decisions and the test metrics that they lead to.

    Without a test split, metrics that depend on thresholds are left out.

    Args:
        source: A source with training's decisions.
        request: A request that `check_request` accepted.
        data: The splits, if they were read.
        logits: Returns the fp32 logits of texts, (rows, labels) float32.

    Raises:
        ExportError: No score reaches the requested precision.
    """
    decisions = _decisions(source, request, data, logits)
    metrics = dict(source.recorded("metrics").get("test") or {})
    if data is not None and data.test is not None:
        metrics |= _figures(logits(data.test), data.test, source, decisions)
    elif source.task == "multi_label":
        metrics = {name: value for name, value in metrics.items() if name not in METRICS["multi_label"]}
    if decisions.abstain_below is not None:
        shares = ", ".join(f"{name} {metrics[name]:.2%}" for name in ABSTAINING if name in metrics)
        log_progress(f"abstain below a score of {decisions.abstain_below:.4f}{shares and f'; test: {shares}'}")
    return replace(source, decisions=decisions, record=source.record | {"metrics": {"test": metrics}})


def _figures(logits: Floats, rows: LabelledTexts, source: Source, decisions: Decisions) -> dict[str, float]:
    """Returns the metrics of decisions on rows; with abstaining, also coverage and precision."""
    assert rows.targets is not None
    decided = decide(logits, source.task, decisions)
    measured = quality(decided, rows.targets, source.task)
    if decisions.abstain_below is not None:
        labelled = scores(logits, source.task, decisions.temperature).max(axis=1) >= decisions.abstain_below
        right = (decided == rows.targets)[labelled]
        shares = float(labelled.mean()), float(right.mean()) if len(right) else 0.0
        measured |= zip(ABSTAINING, shares, strict=True)
    return measured


def _decisions(source: Source, request: Request, data: EvaluationData | None, logits: Logits) -> Decisions:
    if request.target_precision is not None:
        assert data is not None, "check_request has checked the record"
        assert data.validation.targets is not None
        validation_scores = scores(logits(data.validation), source.task, source.decisions.temperature)
        level = learn_abstain_level(validation_scores, data.validation.targets, request.target_precision)
        if level is None:
            raise ExportError(
                f"--target-precision {request.target_precision}: no score reached by at least {MIN_POSITIVES} "
                "validation rows has this precision; lower it, or pass --threshold SCORE"
            )
        return replace(source.decisions, abstain_below=level)
    if source.task == "single_label":
        return replace(source.decisions, abstain_below=request.threshold)
    learned = source.decisions.thresholds or (DEFAULT_THRESHOLD,) * len(source.labels)
    common = learned if request.threshold is None else (request.threshold,) * len(source.labels)
    pairs = zip(source.labels, common, strict=True)
    thresholds = tuple(request.thresholds.get(label, level) for label, level in pairs)
    return replace(source.decisions, thresholds=thresholds)
