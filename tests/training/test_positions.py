"""The position limit of encoders whose positions start at 0, behind the padding id, or nowhere."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    Data2VecTextConfig,
    LongformerConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    RobertaConfig,
    T5Config,
)

from training.positions import position_limit

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
COMMON = SIZES | {"vocab_size": 200, "max_position_embeddings": 66}
CASES = {
    "bert": (BertConfig(**COMMON), 66),
    "modernbert": (ModernBertConfig(**COMMON, pad_token_id=0, bos_token_id=1, eos_token_id=2), 66),
    "roberta": (RobertaConfig(**COMMON, pad_token_id=1), 64),
    "roberta, padding id 5": (RobertaConfig(**COMMON, pad_token_id=5), 60),
    "data2vec-text": (Data2VecTextConfig(**COMMON, pad_token_id=1), 64),
    "longformer": (LongformerConfig(**COMMON, pad_token_id=1, attention_window=8), 64),
    "mpnet, which ignores its config's padding id": (MPNetConfig(**COMMON, pad_token_id=9), 64),
    "t5, relative positions": (T5Config(d_model=32, num_layers=1, num_heads=4, d_ff=64, vocab_size=200), None),
}


@pytest.mark.parametrize(("config", "limit"), CASES.values(), ids=CASES)
def test_limit(config: PreTrainedConfig, limit: int | None) -> None:
    """The limit is the same for a classifier with weights and for an encoder on the meta device."""
    assert position_limit(AutoModelForSequenceClassification.from_config(config)) == limit
    with torch.device("meta"):
        assert position_limit(AutoModel.from_config(config)) == limit


@pytest.mark.parametrize("name", ["bert", "roberta", "roberta, padding id 5", "data2vec-text"])
def test_limit_is_what_the_model_reads(name: str) -> None:
    """A text with as many tokens as the limit runs, and one with a token more fails."""
    config, limit = CASES[name]
    assert limit is not None
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.inference_mode():
        model(torch.full((1, limit), 100))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, limit + 1), 100))
