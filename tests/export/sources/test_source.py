"""The length of texts that an exported model reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import Data2VecTextConfig, LongformerConfig, MPNetConfig, PreTrainedConfig, T5Config

from export.errors import CheckpointError
from export.sources.source import open_source
from training.arguments import EncoderArguments
from training.model.encoder import load_tokenizer

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
COMMON = SIZES | {"vocab_size": 30522, "max_position_embeddings": 66, "pad_token_id": 1, "num_labels": 3}
CONFIGS = {
    "data2vec-text": (Data2VecTextConfig(**COMMON), 64),
    "longformer": (LongformerConfig(**COMMON, attention_window=8), 64),
    "mpnet": (MPNetConfig(**COMMON | {"pad_token_id": 9}), 64),
    "t5": (T5Config(d_model=32, num_layers=1, num_heads=4, d_ff=64, vocab_size=30522, num_labels=3), 512),
}


def write_folder(folder: Path, config: PreTrainedConfig, **record: Any) -> Path:
    """Writes all of a checkpoint but its weights, with a tokenizer that sets no limit."""
    load_tokenizer(EncoderArguments()).save_pretrained(folder)
    config.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "weights").touch()
    if record:
        (folder / "training.json").write_text(json.dumps({"schema_version": "2.0", **record}), "utf-8")
    return folder


@pytest.mark.parametrize("family", CONFIGS)
def test_length_is_the_position_limit(family: str, tmp_path: Path) -> None:
    """The length is the number of usable positions, found without weights, or 512 if an encoder has no limit."""
    config, limit = CONFIGS[family]
    assert open_source(str(write_folder(tmp_path, config)), weights="weights").max_length == limit


def test_length_of_training_without_a_position_limit(tmp_path: Path) -> None:
    """An encoder with relative positions reads as many tokens as in training, even more than 512."""
    folder = write_folder(tmp_path, CONFIGS["t5"][0], max_length=700)
    assert open_source(str(folder), weights="weights").max_length == 700


def test_config_of_no_encoder(tmp_path: Path) -> None:
    """A config from which transformers cannot build an encoder is refused in one line."""
    config = LongformerConfig(**COMMON | {"hidden_size": 30})
    with pytest.raises(CheckpointError, match=r"config\.json: transformers cannot build its encoder: .*hidden size"):
        open_source(str(write_folder(tmp_path, config)), weights="weights")
