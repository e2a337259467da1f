"""Optimum's pipeline: the transformers pipeline around Optimum's model."""

from optimum.onnxruntime import pipeline
from transformers import AutoTokenizer

from benchmarks.contenders.pipeline import scorer
from benchmarks.harness.protocol import LoadRequest, Scorer
from benchmarks.peers.optimum.contender import load_model


def load(request: LoadRequest) -> Scorer:
    """Exports the checkpoint in the precision that `request.option` names, and loads it into a pipeline."""
    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    return scorer(pipeline("text-classification", model=load_model(request), tokenizer=tokenizer, device="cpu"))
