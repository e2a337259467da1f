"""Optimum's ONNX Runtime backend: its own export, in fp32 or in its default dynamic int8."""

import onnxruntime
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig
from transformers import AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from

FILES = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}


def prepare(request: LoadRequest) -> None:
    """Exports the checkpoint, and quantizes it if int8 is requested."""
    model = ORTModelForSequenceClassification.from_pretrained(request.checkpoint, export=True)
    if request.option == "int8":
        quantization = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
        ORTQuantizer.from_pretrained(model).quantize(save_dir=request.work_dir, quantization_config=quantization)
    else:
        model.save_pretrained(request.work_dir)
    AutoTokenizer.from_pretrained(request.checkpoint).save_pretrained(request.work_dir)


def load(request: LoadRequest) -> Scorer:
    """Loads what `prepare` wrote."""
    tokenizer = AutoTokenizer.from_pretrained(request.work_dir)
    model = load_model(request)
    multi_label = model.config.problem_type == "multi_label_classification"

    def scores(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        logits = model(**inputs).logits
        return scores_from(logits.tolist(), multi_label=multi_label)

    return scores


def load_model(request: LoadRequest) -> ORTModelForSequenceClassification:
    """Loads the exported model in the precision that `request.option` names: `fp32` or `int8`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    return ORTModelForSequenceClassification.from_pretrained(
        request.work_dir, file_name=FILES[request.option], session_options=options
    )
