"""The transformers pipeline: what most services start with."""

import torch
from transformers import pipeline

from benchmarks.job import Job, Scorer


def load(job: Job) -> Scorer:
    """Loads the checkpoint into a text-classification pipeline."""
    torch.set_num_threads(job.threads)
    classify = pipeline("text-classification", model=job.checkpoint, device="cpu", top_k=None, truncation=True)
    labels = [classify.model.config.id2label[index] for index in range(classify.model.config.num_labels)]

    def scores(texts: list[str]) -> list[list[float]]:
        rows = [{item["label"]: item["score"] for item in row} for row in classify(texts, batch_size=len(texts))]
        return [[row[label] for label in labels] for row in rows]

    return scores
