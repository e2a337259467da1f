"""`python -m runtime.verify`: verify an artifact on the machine where it will run.

All files are compared with the manifest, all ONNX files are checked for what `load` would reject, and every variant
that this machine has a provider for must reproduce the scores of the golden texts, alone and in a batch.

fp32 on a CPU must reproduce them within `EXACT`. Everything else rounds: a difference in the last bit of another
processor's float sums can become a whole quantization step, which is visible in a score near 0.5 and invisible in one
near 0 or 1. So log odds are compared, their mean and the largest difference. The limits are far above what was measured
with CPU features disabled (docs/experiments.md). Static int8 must also give bit-identical logits alone and in a batch.
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
from .classifier import open_classifier
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
    """The result of one variant on one provider.

    Attributes:
        variant: Name of the variant.
        provider: onnxruntime's name of the provider.
        status: `failed` if the variant does not reproduce its golden scores, `skipped` if it cannot run here.
        detail: What was measured, or why it was skipped.
        max_difference: Largest absolute difference from a golden score; None if nothing was compared.
    """

    variant: str
    provider: str
    status: Literal["passed", "failed", "skipped"]
    detail: str
    max_difference: float | None = None

    def __str__(self) -> str:
        return f"{self.variant} on {self.provider}: {self.status}: {self.detail}"


@dataclass(frozen=True)
class Report:
    """The result of `verify` for an artifact whose files match its manifest.

    Attributes:
        files: Number of files besides the manifest.
        size_bytes: Total size of these files.
        models: Paths of the ONNX files in the artifact.
        outcomes: One for every variant on every provider that it is made for.
    """

    files: int
    size_bytes: int
    models: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")


def verify(folder: str | os.PathLike[str], *, provider: Provider = "auto") -> Report:
    """Verifies an artifact. If a variant does not reproduce its golden scores, the report has failures.

    Args:
        folder: The folder that `python -m export` wrote.
        provider: `auto` runs on every provider that works here. `cpu` or `cuda` runs on that one, and fails without it.

    Raises:
        ArtifactError: The artifact is damaged, needs another version, has a model that `load` would reject, or has a
            `config.json` with other labels or with code that transformers would run.
        ProviderError: The requested provider is unknown or does not work here, or no variant is for it.
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
    parser = argparse.ArgumentParser(
        prog="python -m runtime.verify", description="Verify an artifact on the machine where it will run."
    )
    parser.add_argument("artifact", metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument(
        "--provider",
        choices=["auto", *sorted(PROVIDERS)],
        default="auto",
        help="provider to run on; fails if it does not work here (default: auto, every provider that works here)",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace, output: TextIO) -> int:
    """Verifies the artifact and writes one line for each check.

    Returns:
        The number of variants that failed.

    Raises:
        LitmusError: The artifact is damaged, or no variant can run here.
    """
    report = verify(args.artifact, provider=args.provider)
    if all(outcome.status == "skipped" for outcome in report.outcomes):
        raise ProviderError(f"no variant runs here, nothing was compared: {'; '.join(map(str, report.outcomes))}")
    lines = [f"files: passed: {report.files} files, {report.size_bytes / 1e6:.1f} MB, match the manifest"]
    lines += [f"{model}: passed: one file, operators of ONNX and onnxruntime only" for model in report.models]
    lines += map(str, report.outcomes)
    if report.failures:
        print("error:", "; ".join(map(str, report.failures)), file=sys.stderr)
    try:
        output.writelines(f"{line}\n" for line in lines)
        output.flush()
    except BrokenPipeError:  # the exit status is the result, even if the reader has left
        discard_output()
    return len(report.failures)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 if a check failed, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    return run_command(lambda output: 1 if run(args, output) else 0)


def _check_config(path: Path, labels: Sequence[str]) -> None:
    """Checks `config.json`, which the runtime does not read, for what would make other tools misbehave."""
    try:
        content = json.loads(path.read_text("utf-8"))
        key = find_remote_code(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} is not JSON; export the artifact again") from error
    if key is not None:
        raise ArtifactError(
            f"{path.name} has {key!r}, which makes transformers run code from the checkpoint; export the artifact again"
        )
    names = content.get("id2label") if isinstance(content, dict) else None
    expected = {str(index): label for index, label in enumerate(labels)}
    if isinstance(names, dict) and {index: str(name) for index, name in names.items()} != expected:
        raise ArtifactError(f"{path.name}: id2label has other labels than the manifest; export the artifact again")


def _outcome(artifact: Artifact, variant: Variant, name: str, requested: Provider) -> Outcome:
    """Runs a variant on the provider of that name, if it is requested and works here."""
    here = {*onnxruntime.get_available_providers()} & {*PROVIDERS.values()}
    if name not in (here if requested == "auto" else {PROVIDERS[requested]}):
        return Outcome(variant.name, name, "skipped", f"needs {name}")
    try:
        return _compared(artifact, variant, name)
    except ProviderError as error:
        return Outcome(variant.name, name, "skipped" if requested == "auto" else "failed", str(error))
    except LitmusError as error:
        return Outcome(variant.name, name, "failed", str(error))


def _compared(artifact: Artifact, variant: Variant, name: str) -> Outcome:
    """Runs the golden texts alone and in a batch, and compares the scores with the recorded ones."""
    manifest = artifact.manifest
    provider = next(short for short in PROVIDERS if PROVIDERS[short] == name)
    with open_classifier(
        artifact, provider=cast(Provider, provider), variant=variant.name, check_unused=False
    ) as classifier:
        texts = [golden.text for golden in manifest.golden]
        alone = np.concatenate([classifier.logits([text]) for text in texts])
        together = classifier.logits(texts)
    method = (variant.quantization or {}).get("method")
    recorded = np.array([golden.scores for golden in manifest.golden] if variant.name == "fp32" else variant.golden)
    found = _scores(alone, manifest)
    if method != "dynamic":  # dynamic scales depend on the batch
        recorded, found = np.tile(recorded, (2, 1)), np.concatenate([found, _scores(together, manifest)])
    difference = float(np.abs(found - recorded).max())
    drift = np.abs(_log_odds(found) - _log_odds(recorded))
    rows = list(zip(found.tolist(), recorded.tolist(), strict=True))
    same = sum(policy.select_labels(row, manifest) == policy.select_labels(other, manifest) for row, other in rows)
    detail = (
        f"{same} of {len(rows)} have the recorded labels, largest difference of a score {difference:.1e}, "
        f"of log odds {drift.max():.1e}, mean {drift.mean():.1e}"
    )
    if (variant.name, provider) == ("fp32", "cpu"):
        reproduced = difference <= EXACT
    else:
        reproduced = bool(drift.mean() <= MEAN_DRIFT and drift.max() <= MAX_DRIFT)
    if not reproduced:
        return Outcome(variant.name, name, "failed", f"golden scores differ: {detail}", difference)
    if method == "static" and not np.array_equal(alone, together):
        largest = np.abs(alone - together).max()
        detail = f"logits in a batch differ from those alone, by up to {largest:.1e}"
        return Outcome(variant.name, name, "failed", detail, difference)
    return Outcome(variant.name, name, "passed", detail, difference)


def _scores(logits: npt.NDArray[np.float32], manifest: Manifest) -> npt.NDArray[np.float64]:
    return np.array([policy.scores(row, manifest) for row in logits.tolist()])


def _log_odds(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns log(p / (1 - p)) of scores, which are bounded first: float32 cannot resolve scores closer to 0 or 1."""
    bounded = np.clip(np.asarray(scores, np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(bounded / (1 - bounded))


if __name__ == "__main__":
    exit_with(main())
