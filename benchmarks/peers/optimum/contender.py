"""Optimum's ONNX Runtime backend: its own export, in fp32 or with its default dynamic int8."""

import onnxruntime
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig
from transformers import AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from


def load(job: LoadRequest) -> Scorer:
    """Exports the checkpoint and loads it in the precision that `job.option` names."""
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint)
    model = load_model(job)
    multi_label = model.config.problem_type == "multi_label_classification"

    def scores(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        logits = model(**inputs).logits
        return scores_from(logits.tolist(), multi_label=multi_label)

    return scores


def load_model(job: LoadRequest) -> ORTModelForSequenceClassification:
    """Exports the checkpoint and loads it in the precision that `job.option` names: `fp32` or `int8`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    model = ORTModelForSequenceClassification.from_pretrained(job.checkpoint, export=True, session_options=options)
    if job.option != "int8":
        return model
    quantization = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
    ORTQuantizer.from_pretrained(model).quantize(save_dir=job.work_dir, quantization_config=quantization)
    return ORTModelForSequenceClassification.from_pretrained(
        job.work_dir, file_name="model_quantized.onnx", session_options=options
    )
