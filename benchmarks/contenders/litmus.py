"""Litmus itself: the artifact in the lean runtime."""

from benchmarks.harness.protocol import LoadRequest, Scorer
from runtime import load as load_artifact


def load(job: LoadRequest) -> Scorer:
    """Loads the variant that `job.option` names, or the one that is meant for the CPU."""
    classifier = load_artifact(job.model, provider="cpu", variant=job.option or None, threads=job.threads)

    def scores(texts: list[str]) -> list[list[float]]:
        return [list(prediction.scores.values()) for prediction in classifier.predict_many(texts)]

    return scores
