"""The transformers pipeline, which many services start with."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import Pipeline, pipeline

from benchmarks.harness.protocol import LoadRequest, Scorer


def load(request: LoadRequest) -> Scorer:
    """Loads the checkpoint into a text-classification pipeline."""
    torch.set_num_threads(request.threads)
    return scorer(pipeline("text-classification", model=request.checkpoint, device="cpu"))


def scorer(classify: Pipeline) -> Scorer:
    """Returns a function that gives the scores of all labels from a text-classification pipeline."""
    names: Mapping[Any, str] = classify.model.config.id2label or {}
    labels = [names[index] for index in range(len(names))]

    def scores(texts: list[str]) -> list[list[float]]:
        results = classify(texts, batch_size=len(texts), top_k=None, truncation=True)
        rows = [{item["label"]: item["score"] for item in row} for row in results]
        return [[row[label] for label in labels] for row in rows]

    return scores
