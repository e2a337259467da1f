"""OpenVINO, tuned for latency: in bf16, or with int8 weights and activations from NNCF post-training quantization."""

import nncf
import numpy as np
import openvino
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from


def load(request: LoadRequest) -> Scorer:
    """Converts the checkpoint, quantizes it if int8 is requested, and compiles it for the CPU."""
    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(request.checkpoint).eval()
    multi_label = model.config.problem_type == "multi_label_classification"
    example = dict(tokenizer(request.calibration[:2], padding=True, truncation=True, return_tensors="pt"))
    converted = openvino.convert_model(model, example_input=example)
    converted.reshape({port: [-1, -1] for port in converted.inputs})
    names = [port.get_any_name() for port in converted.inputs]

    def inputs(texts: list[str]) -> dict[str, np.ndarray]:
        arrays = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
        return {name: arrays[name] for name in names}

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": request.threads, "NUM_STREAMS": 1}
    if request.option == "int8":
        dataset = nncf.Dataset(request.calibration, lambda text: inputs([text]))
        converted = nncf.quantize(
            converted, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(request.calibration)
        )
    else:
        settings["INFERENCE_PRECISION_HINT"] = request.option
    compiled = openvino.Core().compile_model(converted, "CPU", settings)

    def scores(texts: list[str]) -> list[list[float]]:
        logits = compiled(inputs(texts))[0].tolist()
        return scores_from(logits, multi_label=multi_label)

    return scores
