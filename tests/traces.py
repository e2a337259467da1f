"""torch's ONNX exporter, run once per model: it takes 5 s for the smallest, and many tests export the same ones."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from export.graph import attention

from .shared import SharedFolders


class _Program:
    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, path: Path, *, external_data: bool) -> None:
        assert not external_data
        shutil.copyfile(self._path, path)


def traced_once(export: Callable[..., Any], shared: SharedFolders) -> Callable[..., Any]:
    """Returns `torch.onnx.export` with a memory that all processes of a run share.

    What is remembered is torch's graph of a model, before anything of Litmus changes it. The key holds everything that
    the graph depends on; torch's old exporter is left alone.
    """

    def remembering(model: PreTrainedModel, *args: Any, **options: Any) -> Any:
        if not options.get("dynamo"):
            return export(model, *args, **options)

        def fill(folder: Path) -> None:
            export(model, *args, **options).save(folder / "model.onnx", external_data=False)

        return _Program(shared.make(f"trace-{_key(model, **options)}", fill) / "model.onnx")

    return remembering


def _key(model: PreTrainedModel, *, kwargs: Any, dynamic_shapes: Any, **options: Any) -> str:
    shapes = [
        (name, tuple(kwargs[name].shape), axis, dim.__name__, dim.min, dim.max)
        for name, dims in dynamic_shapes.items()
        for axis, dim in dims.items()
    ]
    mask = attention.mask.__qualname__  # a test replaces it
    implementation = model.config._attn_implementation
    key = hashlib.sha256(repr((implementation, mask, shapes, sorted(options.items()))).encode())
    config = model.config.to_dict()
    for name in ("id2label", "label2id", "problem_type"):  # what the logits are called does not change the graph
        config.pop(name, None)
    key.update(repr(sorted(config.items())).encode())
    for name, weight in model.state_dict().items():
        key.update(name.encode() + str(weight.dtype).encode())
        key.update(weight.contiguous().view(torch.uint8).numpy())
    return key.hexdigest()[:16]
