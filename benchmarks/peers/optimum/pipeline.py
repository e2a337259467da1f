"""Optimum's pipeline: the transformers pipeline around Optimum's model."""

from optimum.onnxruntime import pipeline
from transformers import AutoTokenizer

from benchmarks.contenders.pipeline import scorer
from benchmarks.harness.protocol import LoadRequest, Scorer
from benchmarks.peers.optimum.contender import load_model, prepare

__all__ = ["load", "prepare"]


def load(request: LoadRequest) -> Scorer:
    """Loads what `prepare` wrote into a pipeline."""
    tokenizer = AutoTokenizer.from_pretrained(request.work_dir)
    return scorer(pipeline("text-classification", model=load_model(request), tokenizer=tokenizer, device="cpu"))
