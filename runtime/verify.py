"""`python -m runtime.verify`: check an artifact again, wherever it has come to.

All files against the manifest, all ONNX files for what loading would refuse, and the golden texts: every variant that
this machine has a provider for must give the scores that it gave where it was made, one by one and in a batch.

fp32 on a CPU must come within `EXACT`. Everything else rounds: a last bit in another processor's float sums may become
a whole step, which shows in a score near 0.5 and hides in one near 0 or 1. So log odds are compared, their mean and the
largest difference; what was measured with parts of a CPU hidden, far less than is allowed, is in docs/experiments.md. A
decision may then differ from the recorded one only where that was a close call. int8 with fixed scales promises more:
in a batch the very same logits as alone.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, cast

import numpy as np
import numpy.typing as npt

from .artifact.folder import Artifact, open_artifact
from .artifact.manifest import Manifest, Variant
from .artifact.remote_code import find_remote_code
from .classifier import Classifier
from .cli.command import discard_output, exit_with, run_command
from .decision import policy
from .engine.model_file import load_without_weights
from .engine.ort import onnxruntime
from .engine.providers import PROVIDERS, Provider, provider_candidates
from .errors import ArtifactError, LitmusError, ProviderError

EXACT = 1e-4
MEAN_DRIFT, MAX_DRIFT = 0.02, 0.1
SMALLEST = 1e-5
CONFIG = "config.json"


@dataclass(frozen=True)
class Outcome:
    """How one variant did on one provider.

    Attributes:
        variant: Its name.
        provider: onnxruntime's name of the provider.
        status: `failed` if it is not what was exported.
        detail: What was found, or why it was not run.
        max_difference: Largest absolute difference of a golden score from the one recorded; None if there is none.
    """

    variant: str
    provider: str
    status: Literal["good", "failed", "not run"]
    detail: str
    max_difference: float | None = None

    def __str__(self) -> str:
        return f"{self.variant} on {self.provider}: {self.status}: {self.detail}"


@dataclass(frozen=True)
class Report:
    """What `verify` found in an artifact whose files are those that were exported.

    Attributes:
        files: How many they are, beside the manifest.
        size_bytes: Of all of them.
        models: The ONNX files.
        outcomes: Of every variant on every provider that it is meant for.
    """

    files: int
    size_bytes: int
    models: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that say that something is wrong."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")


def verify(folder: str | os.PathLike[str], *, provider: Provider = "auto") -> Report:
    """Checks an artifact; where golden scores are not reproduced, the report has failures.

    Args:
        folder: An artifact folder that `python -m export` wrote.
        provider: `auto`: run on every provider that is here. `cpu` or `cuda`: on that one, and fail without it.

    Raises:
        ArtifactError: The artifact is damaged, not for this version, has a model that loading would refuse, or a
            configuration that has other labels or makes transformers run a stranger's code.
        ProviderError: The provider that was asked for is unknown, not here, or no variant is for it.
    """
    artifact = open_artifact(folder)
    manifest = artifact.manifest
    if CONFIG in manifest.files:
        _check_config(artifact.folder / CONFIG, manifest.labels)
    for variant in manifest.variants:
        load_without_weights(artifact.folder / variant.file)
    if not manifest.golden:
        raise ArtifactError("the artifact has no golden texts to compare; export it again")
    if provider != "auto":
        provider_candidates(provider, None, manifest.variants)
    return Report(
        files=len(manifest.files),
        size_bytes=sum(entry.size_bytes for entry in manifest.files.values()),
        models=tuple(variant.file for variant in manifest.variants),
        outcomes=tuple(
            _outcome(artifact, variant, name, provider) for variant in manifest.variants for name in variant.providers
        ),
    )


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m runtime.verify", description="Check an artifact again.")
    parser.add_argument("artifact", metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument(
        "--provider",
        choices=["auto", *sorted(PROVIDERS)],
        default="auto",
        help="run there, and fail without it (default: auto, on whatever is here)",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace, output: TextIO) -> int:
    """Checks the artifact and writes a line for everything that was looked at.

    Returns:
        How many variants failed.

    Raises:
        LitmusError: The artifact is damaged, or has nothing for the provider that was asked for or for those here.
    """
    report = verify(args.artifact, provider=args.provider)
    if all(outcome.status == "not run" for outcome in report.outcomes):
        raise ProviderError(f"no variant runs here, nothing was compared: {'; '.join(map(str, report.outcomes))}")
    lines = [f"files: good: {report.files} of {report.size_bytes / 1e6:.1f} MB, as exported"]
    lines += [f"{model}: good: one file, operators of ONNX and onnxruntime alone" for model in report.models]
    lines += map(str, report.outcomes)
    if report.failures:
        print("error:", "; ".join(map(str, report.failures)), file=sys.stderr)
    try:
        output.writelines(f"{line}\n" for line in lines)
        output.flush()
    except BrokenPipeError:  # the exit status is the answer, whoever reads along
        discard_output()
    return len(report.failures)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 if something is wrong, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    return run_command(lambda output: run(args, output))


def _check_config(path: Path, labels: Sequence[str]) -> None:
    """Refuses a configuration that nobody reads here, but with which other tools run or say something else."""
    try:
        content = json.loads(path.read_text("utf-8"))
        key = find_remote_code(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} is not JSON; export the artifact again") from error
    if key is not None:
        raise ArtifactError(f"{path.name} has {key!r}, which makes transformers run a stranger's code; export it again")
    names = content.get("id2label") if isinstance(content, dict) else None
    expected = {str(index): label for index, label in enumerate(labels)}
    if isinstance(names, dict) and {index: str(name) for index, name in names.items()} != expected:
        raise ArtifactError(f"{path.name}: id2label has other labels than the manifest; export the artifact again")


def _outcome(artifact: Artifact, variant: Variant, name: str, asked: Provider) -> Outcome:
    """Runs a variant on the provider of that name, if that is asked for and here."""
    here = {*onnxruntime.get_available_providers()} & {*PROVIDERS.values()}
    if name not in (here if asked == "auto" else {PROVIDERS[asked]}):
        return Outcome(variant.name, name, "not run", f"needs {name}")
    try:
        return _compared(artifact, variant, name)
    except ProviderError as error:
        return Outcome(variant.name, name, "not run" if asked == "auto" else "failed", str(error))
    except LitmusError as error:
        return Outcome(variant.name, name, "failed", str(error))


def _compared(artifact: Artifact, variant: Variant, name: str) -> Outcome:
    """Runs the golden texts alone and in a batch, and compares them with what is recorded."""
    manifest = artifact.manifest
    provider = next(short for short in PROVIDERS if PROVIDERS[short] == name)
    classifier = Classifier(artifact, provider=cast(Provider, provider), variant=variant.name)
    texts = [golden.text for golden in manifest.golden]
    recorded = np.array([golden.scores for golden in manifest.golden] if variant.name == "fp32" else variant.golden)
    alone = np.concatenate([classifier.logits([text]) for text in texts])
    together = classifier.logits(texts)
    found = _scores(alone, manifest)
    method = (variant.quantization or {}).get("method")
    if method != "dynamic":  # its scales, and so its answers, are those of the whole batch
        recorded, found = np.tile(recorded, (2, 1)), np.concatenate([found, _scores(together, manifest)])
    difference = float(np.abs(found - recorded).max())
    drift = np.abs(_log_odds(found) - _log_odds(recorded))
    rows = list(zip(found.tolist(), recorded.tolist(), strict=True))
    same = sum(
        policy.select_labels(row, manifest) == policy.select_labels(expected, manifest) for row, expected in rows
    )
    figures = (
        f"{same} of {len(rows)} decided as recorded, largest difference of a score {difference:.1e}, "
        f"of log odds {drift.max():.1e}, mean {drift.mean():.1e}"
    )
    exact = (variant.name, provider) == ("fp32", "cpu")
    if not (difference <= EXACT if exact else drift.mean() <= MEAN_DRIFT and drift.max() <= MAX_DRIFT):
        failure = f"gives golden scores that differ: {figures}"
    elif method == "static" and not np.array_equal(alone, together):
        failure = f"gives other logits in a batch than alone, by {np.abs(alone - together).max():.1e}"
    else:
        return Outcome(variant.name, name, "good", figures, difference)
    return Outcome(variant.name, name, "failed", failure, difference)


def _scores(logits: npt.NDArray[np.float32], manifest: Manifest) -> npt.NDArray[np.float64]:
    return np.array([policy.scores(row, manifest) for row in logits.tolist()])


def _log_odds(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns log(p / (1 - p)) of scores; float32 holds no more of a score than that it is nearly 0 or 1."""
    bounded = np.clip(np.asarray(scores, np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(bounded / (1 - bounded))


if __name__ == "__main__":
    exit_with(main())
