"""Litmus: the artifact in the lean runtime."""

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from
from runtime import load as load_artifact


def load(request: LoadRequest) -> Scorer:
    """Loads the variant that `request.option` names, or by default the artifact's variant for the CPU."""
    variant = request.option or None
    classifier = load_artifact(request.model, provider="cpu", variant=variant, threads=request.threads)
    multi_label = classifier.manifest.task == "multi_label"

    def scores(texts: list[str]) -> list[list[float]]:
        predictions = classifier.predict_many(texts, with_logits=True)
        # From the logits, because the other contenders do not apply the artifact's temperature.
        return scores_from([list(prediction.logits or ()) for prediction in predictions], multi_label=multi_label)

    return scores
