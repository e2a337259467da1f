"""The runtime reproduces reference predictions that PyTorch made with an earlier version, so that drift is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main as export
from runtime import load

from .make_golden import FOLDER, MODELS

pytestmark = pytest.mark.slow

OPTIONS = ["--variants", "fp32", "int8", "--min-agreement", "0", "--max-metric-drop", "1"]


@pytest.mark.parametrize("name", ["bert", "distilbert", "minilm"])
@pytest.mark.usefixtures("torch_traces_once")
def test_reference_predictions(name: str, tmp_path: Path) -> None:
    """Token ids and masks are equal, fp32 scores agree within 1e-5, and int8 assigns the same labels."""
    golden = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    checkpoint = MODELS[name](tmp_path / "checkpoint")
    (tmp_path / "texts.txt").write_text("\n".join(golden["texts"]), "utf-8")
    calibration = ["--calibration", str(tmp_path / "texts.txt")]
    assert export([str(checkpoint), str(tmp_path / "artifact"), *OPTIONS, *calibration]) == 0
    with load(tmp_path / "artifact", provider="cpu", variant="fp32") as classifier:
        inputs = classifier._tokenizer.pad(classifier._tokenizer.encode_many(golden["texts"]))
        predictions = classifier.predict_many(golden["texts"])
    assert inputs["input_ids"].tolist() == golden["input_ids"]
    assert inputs["attention_mask"].tolist() == golden["attention_mask"]
    scores = [list(prediction.scores.values()) for prediction in predictions]
    np.testing.assert_allclose(scores, golden["scores"], rtol=0, atol=1e-5)
    assert [sorted(prediction.labels) for prediction in predictions] == [sorted(row) for row in golden["labels"]]
    with load(tmp_path / "artifact", provider="cpu", variant="int8") as classifier:
        predictions = classifier.predict_many(golden["texts"])
    assert [sorted(prediction.labels) for prediction in predictions] == [sorted(row) for row in golden["labels"]]
