"""Small random checkpoints with a real tokenizer, for tests that need no trained model."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from training.arguments import EncoderArguments
from training.model.encoder import load_tokenizer, resolve
from training.output.checkpoint import name_tokenizer_class

LABELS = {"single_label": ("calm", "glad", "sad"), "multi_label": ("late", "broken", "rude", "vague")}
MAX_LENGTH = 48
FP32 = ("--variants", "fp32")  # for the export of a model that has no training data to calibrate on
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def bert(task: str) -> PreTrainedConfig:
    """Returns the config of a two-layer BERT, which reads `token_type_ids`."""
    return BertConfig(**SIZES, **_head(task))


def distilbert(task: str) -> PreTrainedConfig:
    """Returns the config of a two-layer DistilBERT, which does not read `token_type_ids`."""
    return DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **_head(task))


def families(task: str = "single_label") -> dict[str, PreTrainedConfig]:
    """Returns a small config of every supported family, by its `model_type`.

    The parts that make a family difficult are as in its published models: RoBERTa's padding id of 1 and its position
    offset, DeBERTa's relative position buckets, and ModernBERT's window, here shorter than the texts. The weights are
    ten times as large as usual, so that attention changes the logits by far more than the parity tolerance.
    """
    common = SIZES | _head(task) | {"vocab_size": 30522, "initializer_range": 0.2}
    roberta = common | {"pad_token_id": 1, "max_position_embeddings": MAX_LENGTH + 2, "type_vocab_size": 1}
    small = {"embedding_size": 16}
    relative = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
    shared = {"norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False}
    distil = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "initializer_range": 0.2}
    modern = {"bos_token_id": 101, "cls_token_id": 101, "eos_token_id": 102, "sep_token_id": 102}
    return {
        "bert": BertConfig(**common),
        "distilbert": DistilBertConfig(**distil, **_head(task)),
        "roberta": RobertaConfig(**roberta),
        "xlm-roberta": XLMRobertaConfig(**roberta),
        "camembert": CamembertConfig(**roberta),
        "electra": ElectraConfig(**common, **small),
        "albert": AlbertConfig(**common, **small),
        "mpnet": MPNetConfig(**roberta),
        "deberta-v2": DebertaV2Config(**common, **relative, **shared, type_vocab_size=0),
        "modernbert": ModernBertConfig(**common, **modern, local_attention=8, classifier_pooling="mean"),
    }


def write_checkpoint(
    folder: Path, config: PreTrainedConfig, *, cleaning: tuple[str, ...] = (), biases: float = 0.0
) -> Path:
    """Writes a checkpoint with random weights and no training record; the tokenizer pads with the config's id.

    `biases` is the standard deviation of the biases that are zero before training, except those of the head.
    """
    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if biases and name.endswith("bias"):
                parameter.normal_(std=biases)
        for parameter in list(model.classifier.parameters())[-2:]:  # the usual head makes every score alike
            parameter.normal_(std=2.0)
    model.save_pretrained(folder)
    tokenizer = load_tokenizer(EncoderArguments(max_length=MAX_LENGTH), cleaning)
    tokenizer.save_pretrained(folder)
    name_tokenizer_class(folder / "tokenizer_config.json")
    _move_padding(folder / "tokenizer.json", config.pad_token_id)
    return folder


class Planted:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, folder: Path) -> None:
        """Names the folder."""
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns what an unpickler runs."""
        return os.mkdir, (self.folder,)


def pickle_weights(folder: Path, *extra: object, zipped: bool = True) -> Path:
    """Replaces the safetensors weights of a checkpoint by `pytorch_model.bin`, in PyTorch's new or old format."""
    weights: dict[str, Any] = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weights |= {f"extra.{index}": item for index, item in enumerate(extra)}
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    return folder


def write_minilm(folder: Path) -> Path:
    """Writes the packaged encoder with a random head of two labels; it is the same on every machine."""
    labels = ("benign", "malignant")
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    model = AutoModelForSequenceClassification.from_pretrained(resolve("packaged:minilm"), **names)
    head = np.random.RandomState(7).standard_normal(tuple(model.classifier.weight.shape))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(head))
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    load_tokenizer(EncoderArguments(max_length=MAX_LENGTH)).save_pretrained(folder)
    return folder


def write_texts(path: Path) -> Path:
    """Writes eighty texts, one per line, for calibration and comparison."""
    path.write_text("".join(f"The train number {n} was late again, by {n * 7 % 60} minutes.\n" for n in range(80)))
    return path


def _move_padding(path: Path, pad_token_id: int) -> None:
    """Swaps the ids of the padding token and of the token that has the requested id."""
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    before = vocabulary["[PAD]"]
    token = next(token for token, index in vocabulary.items() if index == pad_token_id)
    vocabulary.update({token: before, "[PAD]": pad_token_id})
    for added in content["added_tokens"]:
        added["id"] = vocabulary[added["content"]]
    path.write_text(json.dumps(content), "utf-8")


def _head(task: str) -> dict[str, Any]:
    labels = LABELS[task]
    return {
        "max_position_embeddings": 64,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": f"{task}_classification",
        "pad_token_id": 0,
    }
