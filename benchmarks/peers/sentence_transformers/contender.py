"""Sentence Transformers' cross-encoder on ONNX Runtime: its own export, in fp32 or in its dynamic int8."""

import onnxruntime
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.backend import export_dynamic_quantized_onnx_model

from benchmarks.harness.protocol import LoadRequest, Scorer, scores_from

PROVIDER = {"provider": "CPUExecutionProvider"}
FILES = {"fp32": "model.onnx", "int8": "model_qint8_avx512_vnni.onnx"}


def prepare(request: LoadRequest) -> None:
    """Exports the checkpoint, and quantizes it if int8 is requested."""
    model = CrossEncoder(request.checkpoint, backend="onnx", device="cpu", model_kwargs={"export": True, **PROVIDER})
    model.save_pretrained(request.work_dir)
    if request.option == "int8":
        export_dynamic_quantized_onnx_model(model, "avx512_vnni", request.work_dir)


def load(request: LoadRequest) -> Scorer:
    """Loads the exported model in the precision that `request.option` names: `fp32` or `int8`."""
    torch.set_num_threads(request.threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    model_kwargs = {"file_name": FILES[request.option], "session_options": options, **PROVIDER}
    model = CrossEncoder(
        request.work_dir, backend="onnx", device="cpu", model_kwargs=model_kwargs, activation_fn=torch.nn.Identity()
    )
    multi_label = model.config.problem_type == "multi_label_classification"

    def scores(texts: list[str]) -> list[list[float]]:
        if len(texts) == 1:
            logits = [model.predict(texts[0], show_progress_bar=False).tolist()]
        else:  # `predict` would read a list of texts as one pair; these are its two steps
            with torch.inference_mode():
                logits = model(model.preprocess(texts))["scores"].tolist()
        return scores_from(logits, multi_label=multi_label)

    return scores
