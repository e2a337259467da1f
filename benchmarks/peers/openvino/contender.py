"""OpenVINO, tuned for latency: in f32 or bf16, or with int8 weights and activations from NNCF's quantization."""

from pathlib import Path

import numpy as np
import openvino
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from

FILE = "model.xml"


def prepare(request: LoadRequest) -> None:
    """Converts the checkpoint, quantizes it if int8 is requested, and saves it with tokenizer and configuration."""
    import nncf  # noqa: PLC0415 - `load` must not import it, because its process is measured

    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(request.checkpoint).eval()
    example = dict(tokenizer(request.calibration[:2], padding=True, truncation=True, return_tensors="pt"))
    converted = openvino.convert_model(model, example_input=example)
    converted.reshape({port: [-1, -1] for port in converted.inputs})
    if request.option == "int8":
        names = _input_names(converted)
        dataset = nncf.Dataset(request.calibration, lambda text: _inputs(tokenizer, [text], names))
        converted = nncf.quantize(
            converted, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(request.calibration)
        )
    openvino.save_model(converted, Path(request.work_dir) / FILE, compress_to_fp16=False)
    tokenizer.save_pretrained(request.work_dir)
    model.config.save_pretrained(request.work_dir)


def load(request: LoadRequest) -> Scorer:
    """Compiles the converted model for the CPU."""
    tokenizer = AutoTokenizer.from_pretrained(request.work_dir)
    multi_label = AutoConfig.from_pretrained(request.work_dir).problem_type == "multi_label_classification"
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": request.threads, "NUM_STREAMS": 1}
    if request.option != "int8":
        settings["INFERENCE_PRECISION_HINT"] = request.option
    core = openvino.Core()
    model = core.read_model(Path(request.work_dir) / FILE)
    names = _input_names(model)
    compiled = core.compile_model(model, "CPU", settings)

    def scores(texts: list[str]) -> list[list[float]]:
        logits = compiled(_inputs(tokenizer, texts, names))[0].tolist()
        return scores_from(logits, multi_label=multi_label)

    return scores


def _input_names(model: openvino.Model) -> list[str]:
    return [port.get_any_name() for port in model.inputs]


def _inputs(tokenizer: PreTrainedTokenizerBase, texts: list[str], names: list[str]) -> dict[str, np.ndarray]:
    arrays = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    return {name: arrays[name] for name in names}
