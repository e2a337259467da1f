"""Optimum's pipeline: transformers' own around Optimum's model, what its users call."""

from optimum.onnxruntime import pipeline
from transformers import AutoTokenizer

from benchmarks.contenders.pipeline import scorer
from benchmarks.harness.protocol import LoadRequest, Scorer
from benchmarks.peers.optimum.contender import load_model


def load(job: LoadRequest) -> Scorer:
    """Exports the checkpoint, in the precision that `job.option` names, into a text-classification pipeline."""
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint)
    return scorer(pipeline("text-classification", model=load_model(job), tokenizer=tokenizer, device="cpu"))
