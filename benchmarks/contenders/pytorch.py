"""PyTorch: the checkpoint as transformers loads it, each batch padded to its longest text."""

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from


def load(request: LoadRequest) -> Scorer:
    """Loads the checkpoint.

    Args:
        request: Its option is the type of the weights, `float32`, `bfloat16` or `float16`, and behind it, each after a
            space, the device and `compile`: `float16 cuda compile`. The default is eager mode on the CPU.
    """
    dtype, device, *mode = [*request.option.split(), "cpu"][: max(2, len(request.option.split()))]
    torch.set_num_threads(request.threads)
    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(request.checkpoint, dtype=getattr(torch, dtype))
    model = model.eval().to(device)
    multi_label = model.config.problem_type == "multi_label_classification"
    compute = torch.compile(model) if mode == ["compile"] else model

    def scores(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            logits = compute(**inputs).logits.float()
        return scores_from(logits.tolist(), multi_label=multi_label)

    return scores
