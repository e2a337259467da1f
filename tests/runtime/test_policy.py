"""From logits to labels: the decisions that the manifest stores."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from runtime import InferenceError
from runtime.manifest import Manifest
from runtime.policy import choose, scores


@pytest.fixture
def manifest(artifact: Path) -> Manifest:
    """A single-label manifest with the labels calm, glad and sad."""
    return Manifest.from_json((artifact / "litmus.json").read_text("utf-8"))


def test_softmax_with_temperature(manifest: Manifest) -> None:
    """Logits are divided by the temperature first; the softmax by hand."""
    logits = np.log(np.array([[1.0, 4.0, 16.0]], np.float32))
    np.testing.assert_allclose(scores(logits, manifest), [[1 / 21, 4 / 21, 16 / 21]], rtol=1e-6)
    halved = dataclasses.replace(manifest, temperature=2.0)
    np.testing.assert_allclose(scores(logits, halved), [[1 / 7, 2 / 7, 4 / 7]], rtol=1e-6)


def test_sigmoid_with_temperature(manifest: Manifest) -> None:
    """Each label on its own; huge logits do not overflow."""
    multi_label = dataclasses.replace(manifest, task="multi_label", thresholds=(0.5,) * 3, temperature=2.0)
    logits = np.array([[2 * np.log(3.0), 0.0, -1e6]], np.float32)
    np.testing.assert_allclose(scores(logits, multi_label), [[0.75, 0.5, 0.0]], atol=1e-7)


def test_abstains_below_its_level(manifest: Manifest) -> None:
    """At the level the label is given, below it none; without a level always one."""
    careful = dataclasses.replace(manifest, abstain_below=0.6)
    assert choose([0.3, 0.6, 0.1], careful) == ("glad",)
    assert choose([0.3, 0.59, 0.11], careful) == ()
    assert choose([0.3, 0.36, 0.34], manifest) == ("glad",)


def test_threshold_per_label(manifest: Manifest) -> None:
    """Each label has its own, reached from above or exactly; best score first."""
    multi_label = dataclasses.replace(manifest, task="multi_label", thresholds=(0.9, 0.2, 0.5))
    assert choose([0.8, 0.2, 0.5], multi_label) == ("sad", "glad")
    assert choose([0.0, 0.1, 0.4], multi_label) == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_score(manifest: Manifest, bad: float) -> None:
    """Not even beside good rows."""
    with pytest.raises(InferenceError, match="NaN or infinite"):
        scores(np.array([[0, 1, 2], [0, bad, 2]], np.float32), manifest)
