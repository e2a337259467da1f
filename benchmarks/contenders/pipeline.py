"""The transformers pipeline: what most services start with."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import Pipeline, pipeline

from benchmarks.harness.protocol import LoadRequest, Scorer


def load(job: LoadRequest) -> Scorer:
    """Loads the checkpoint into a text-classification pipeline."""
    torch.set_num_threads(job.threads)
    return scorer(pipeline("text-classification", model=job.checkpoint, device="cpu"))


def scorer(classify: Pipeline) -> Scorer:
    """Returns a function from texts to all scores of a text-classification pipeline."""
    names: Mapping[Any, str] = classify.model.config.id2label or {}
    labels = [names[index] for index in range(len(names))]

    def scores(texts: list[str]) -> list[list[float]]:
        found = classify(texts, batch_size=len(texts), top_k=None, truncation=True)
        rows = [{item["label"]: item["score"] for item in row} for row in found]
        return [[row[label] for label in labels] for row in rows]

    return scores
