"""PyTorch: the checkpoint as transformers loads it, each batch padded to its longest text."""

import os
import shutil
import sys
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, UnavailableError, scores_from

# Compiled once with symbolic shapes, and once more for a single text: otherwise every new length would compile anew.
# CUDA graphs are recorded for each shape in any case, so they are compiled for it as well.
COMPILE_OPTIONS: dict[str, dict[str, Any]] = {
    "compile": {"dynamic": True},
    "cuda-graphs": {"dynamic": False, "mode": "reduce-overhead"},
}


def load(request: LoadRequest) -> Scorer:
    """Loads the checkpoint.

    Args:
        request: Its option is the type of the weights, `float32`, `bfloat16` or `float16`, and behind it, each after a
            space, the device and `compile` or `cuda-graphs`: `float16 cuda compile`. The default is eager mode on the
            CPU.

    Raises:
        UnavailableError: PyTorch cannot compile, because there is no C++ compiler.
    """
    dtype, device, *mode = [*request.option.split(), "cpu"][: max(2, len(request.option.split()))]
    if mode and device == "cpu":
        _check_compiler()
    torch.set_num_threads(request.threads)
    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(request.checkpoint, dtype=getattr(torch, dtype))
    model = model.eval().to(device)
    multi_label = model.config.problem_type == "multi_label_classification"
    compute = model
    if mode:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = request.work_dir  # else the start would depend on earlier runs
        compute = torch.compile(model, **COMPILE_OPTIONS[mode[0]])

    def scores(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            logits = compute(**inputs).logits.float()
        return scores_from(logits.tolist(), multi_label=multi_label)

    return scores


def _check_compiler() -> None:
    compiler = os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))
    if shutil.which(compiler) is None:
        raise UnavailableError(
            f"torch.compile needs a C++ compiler, but {compiler} was not found; install it or set CXX"
        )
