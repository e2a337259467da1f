"""Writes the reference predictions beside this file: `python -m tests.golden.make_golden`.

The reference is PyTorch with eager attention and transformers' tokenizer. Neither export nor runtime takes part.
Weights are drawn by numpy's RandomState, whose numbers never change, with a seed for each tensor's name. The seeds were
chosen so that several labels occur and no score is close to where its label changes.
"""

import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from ..models import bert, distilbert, write_checkpoint, write_minilm

FOLDER = Path(__file__).parent
MARGIN = 0.05  # of every score from where the label changes, so that int8 has the same labels
TEXTS = (
    "late",
    "The train was late again, by 12.5 minutes.",
    "Thank you for the quick reply!",
    "Das Café an der Ecke hat montags geschlossen.",
    "次の電車は何時ですか",
    "Two of the five boxes arrived open, one was empty and two were fine.",
    "DOCTOR:  how did you   sleep?",
    "a [PAD] in a text, and a [MASK]",
    "3.14159 + 2.71828 = 5.85987",
    "The meeting moved from Tuesday to Thursday, and from room four to the large hall. " * 5,
)


def write_bert(folder: Path) -> Path:
    """Writes a BERT with three labels, one per text."""
    return _with_seeded_weights(write_checkpoint(folder, bert("single_label")), seed=97)


def write_distilbert(folder: Path) -> Path:
    """Writes a DistilBERT with four labels, any number per text, and cleaning steps in its tokenizer."""
    cleaning = (r"drop:(?i)\bdoctor:", "squeeze_spaces")
    return _with_seeded_weights(write_checkpoint(folder, distilbert("multi_label"), cleaning=cleaning), seed=3)


MODELS: dict[str, Callable[[Path], Path]] = {"bert": write_bert, "distilbert": write_distilbert, "minilm": write_minilm}


def reference(checkpoint: Path) -> dict[str, Any]:
    """Predicts with PyTorch.

    Returns:
        Ready for JSON: token ids and attention mask of all texts, padded to the longest, (texts, tokens); scores,
        (texts, labels), to six digits; the labels of each text.
    """
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()
    inputs = AutoTokenizer.from_pretrained(checkpoint)(list(TEXTS), padding=True, truncation=True, return_tensors="pt")
    names = ("input_ids", "attention_mask")
    with torch.inference_mode():
        logits = model(**{name: inputs[name] for name in names}).logits.double()
    multi_label = model.config.problem_type == "multi_label_classification"
    scores = (logits.sigmoid() if multi_label else logits.softmax(dim=1)).numpy()
    chosen = scores >= 0.5 if multi_label else scores == scores.max(axis=1, keepdims=True)
    return {
        "texts": list(TEXTS),
        **{name: inputs[name].tolist() for name in names},
        "scores": scores.round(6).tolist(),
        "labels": [[model.config.id2label[index] for index in np.flatnonzero(row)] for row in chosen],
    }


def margin(scores: np.ndarray, *, multi_label: bool) -> float:
    """Returns how far the nearest score is from where a label would change."""
    if multi_label:
        return float(np.abs(scores - 0.5).min())
    ordered = np.sort(scores, axis=1)
    return float((ordered[:, -1] - ordered[:, -2]).min())


def _with_seeded_weights(checkpoint: Path, seed: int) -> Path:
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = np.random.RandomState(seed + zlib.crc32(name.encode())).standard_normal(tuple(parameter.shape))
            scale = 0.1 if name.endswith("bias") else 0.5 if name.startswith("classifier") else 0.2
            parameter.copy_(torch.from_numpy(scale * noise + name.lower().endswith("norm.weight")))
    model.save_pretrained(checkpoint)
    return checkpoint


def main() -> None:
    """Writes one file per model."""
    for name, write in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = reference(write(Path(folder)))
        nearest = margin(np.array(found["scores"]), multi_label=name == "distilbert")
        assert nearest >= MARGIN, f"{name}: a score is {nearest:.3f} from where its label changes; take another seed"
        lines = ",\n".join(f" {json.dumps(key)}: {_rows(value)}" for key, value in found.items())
        (FOLDER / f"{name}.json").write_text("{\n" + lines + "\n}\n", "utf-8")
        print(f"{name}: nearest label change {nearest:.3f}", found["scores"])


def _rows(value: list[Any]) -> str:
    return "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value) + "\n ]"


if __name__ == "__main__":
    main()
