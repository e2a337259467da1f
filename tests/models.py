"""Small random checkpoints with a real tokenizer, for everything that does not need a model that has learned."""

import json
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, BertConfig, DistilBertConfig, PreTrainedConfig

from training.arguments import DataArguments
from training.encoder import load_tokenizer

LABELS = {"single_label": ("calm", "glad", "sad"), "multi_label": ("late", "broken", "rude", "vague")}
MAX_LENGTH = 48


def bert(task: str) -> PreTrainedConfig:
    """Returns a two-layer BERT's config; BERT reads `token_type_ids`."""
    return BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, **_head(task))


def distilbert(task: str) -> PreTrainedConfig:
    """Returns a two-layer DistilBERT's config; DistilBERT reads no `token_type_ids`."""
    return DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **_head(task))


def write_checkpoint(folder: Path, config: PreTrainedConfig, *, cleaning: tuple[str, ...] = ()) -> Path:
    """Writes a checkpoint with random weights, as training would."""
    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():  # the usual head is so small that every score is alike
        for parameter in model.classifier.parameters():
            parameter.normal_(std=2.0)
    model.save_pretrained(folder)
    tokenizer = load_tokenizer(DataArguments(max_length=MAX_LENGTH, cleaning=list(cleaning)))
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps({"max_length": MAX_LENGTH}), "utf-8")
    return folder


def _head(task: str) -> dict[str, object]:
    labels = LABELS[task]
    return {
        "max_position_embeddings": 64,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": f"{task}_classification",
        "pad_token_id": 0,
    }
