"""PyTorch eager mode: the checkpoint as transformers loads it, each batch padded to its longest text."""

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from


def load(request: LoadRequest) -> Scorer:
    """Loads the checkpoint in the precision that `request.option` names: `float32` or `bfloat16`."""
    torch.set_num_threads(request.threads)
    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    dtype = getattr(torch, request.option)
    model = AutoModelForSequenceClassification.from_pretrained(request.checkpoint, dtype=dtype).eval()
    multi_label = model.config.problem_type == "multi_label_classification"

    def scores(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs).logits.float()
        return scores_from(logits.tolist(), multi_label=multi_label)

    return scores
