"""The ten model families in the export's tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from export.graph.variant_files import open_variant
from runtime.artifact.manifest import Manifest
from runtime.engine.session import Session

PATHS = {  # family: path, fused attention nodes of two layers, whether the graph reads token_type_ids
    "bert": ("fused", 2, True),
    "distilbert": ("fused", 2, False),
    "roberta": ("fused", 2, False),
    "xlm-roberta": ("fused", 2, False),
    "camembert": ("fused", 2, False),
    "electra": ("fused", 2, True),
    "albert": ("fused", 2, True),
    "mpnet": ("eager", 0, False),
    "deberta-v2": ("eager", 0, False),
    "modernbert": ("fused", 2, False),
}
Inputs = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Exported:
    """A family's checkpoint and its export."""

    family: str
    checkpoint: Path
    artifact: Path
    log: str
    model: PreTrainedModel

    def session(self) -> Session:
        """Opens the exported graph."""
        return open_variant(self.artifact, "fp32", labels=3)

    def manifest(self) -> Manifest:
        """Reads the artifact's manifest."""
        return Manifest.from_json((self.artifact / "litmus.json").read_text("utf-8"))

    def torch_logits(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Returns PyTorch's logits for the inputs that the family reads."""
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * PATHS[self.family][2]
        with torch.inference_mode():
            logits = self.model(**{name: torch.from_numpy(inputs[name]) for name in names}).logits
        return np.asarray(logits, np.float32)


def rows(exported: Exported, lengths: tuple[int, ...]) -> Inputs:
    """Returns random texts of these lengths, padded on the right; token types alternate between 0 and 1.

    The third token is the padding's, as for a text with "[PAD]": RoBERTa counts positions by ids, not by the mask.
    """
    shape = len(lengths), max(lengths)
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.random.default_rng(sum(lengths)).integers(1000, 30522, shape)
    padding = exported.model.config.pad_token_id
    ids[:, 2:3] = padding
    return {
        "input_ids": np.where(mask, ids, padding),
        "attention_mask": mask,
        "token_type_ids": np.arange(shape[1]) % 2 * mask,
    }
