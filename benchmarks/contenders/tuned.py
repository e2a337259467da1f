"""Litmus with the settings of `tune`: `predict` for one text, `predict_many` for several."""

import json

from benchmarks.harness.protocol import LoadRequest, Scorer
from runtime import load as load_artifact


def load(request: LoadRequest) -> Scorer:
    """Loads the artifact with the arguments of `load` that `request.option` holds as JSON."""
    classifier = load_artifact(request.model, **json.loads(request.option))

    def scores(texts: list[str]) -> list[list[float]]:
        predictions = [classifier.predict(texts[0])] if len(texts) == 1 else classifier.predict_many(texts)
        return [list(prediction.scores.values()) for prediction in predictions]

    return scores
