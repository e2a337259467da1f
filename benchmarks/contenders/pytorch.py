"""PyTorch eager: the checkpoint as transformers loads it, padded to the longest of the batch."""

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from


def load(job: LoadRequest) -> Scorer:
    """Loads the checkpoint in the precision that `job.option` names: `float32` or `bfloat16`."""
    torch.set_num_threads(job.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint)
    dtype = getattr(torch, job.option)
    model = AutoModelForSequenceClassification.from_pretrained(job.checkpoint, dtype=dtype).eval()
    multi_label = model.config.problem_type == "multi_label_classification"

    def scores(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs).logits.float()
        return scores_from(logits.tolist(), multi_label=multi_label)

    return scores
