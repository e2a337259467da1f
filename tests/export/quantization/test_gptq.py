"""GPTQ: less error for correlated inputs, nearest rounding for uncorrelated ones."""

from dataclasses import replace

import numpy as np
import pytest

from export.graph.layers import Floats
from export.quantization.gptq import BLOCK, GptqRounder, gptq_round
from export.quantization.smoothing import identity

from .test_smoothing import layer, stats_of

RNG = np.random.default_rng(8)
WIDTH, COLUMNS = BLOCK + 40, 12


@pytest.fixture
def weights() -> Floats:
    """(168, 12) float32, in steps."""
    return RNG.uniform(-127, 127, (WIDTH, COLUMNS)).astype(np.float32)


def test_correlated_inputs(weights: Floats) -> None:
    """On unseen correlated inputs the error is less than a third of nearest rounding's."""
    mixing = RNG.normal(size=(20, WIDTH))
    seen, unseen = (RNG.normal(size=(500, 20)) @ mixing + 0.1 * RNG.normal(size=(500, WIDTH)) for _ in range(2))
    errors = [
        np.square(unseen @ (integers - weights)).mean()
        for integers in (gptq_round(weights, np.cov(seen, rowvar=False)), np.rint(weights))
    ]
    assert errors[0] < errors[1] / 9


def test_uncorrelated_inputs(weights: Floats) -> None:
    """With uncorrelated inputs, weights are rounded to the nearest integer."""
    np.testing.assert_array_equal(gptq_round(weights, np.diag(RNG.uniform(1, 2, WIDTH))), np.rint(weights))


def test_stays_in_range(weights: Floats) -> None:
    """Compensated weights stay within int8 and never wrap around."""
    weights[:] = RNG.uniform(126, 127, weights.shape)
    mixing = RNG.normal(size=(20, WIDTH))
    integers = gptq_round(weights, mixing.T @ mixing + 0.01 * np.eye(WIDTH))
    assert integers.dtype == np.int8
    assert np.abs(integers - weights).max() < 8


def test_correction(weights: Floats) -> None:
    """On the mean input, rounded weights and bias correction give the output of the original weights."""
    x = (5 + RNG.normal(size=(400, WIDTH))).astype(np.float32)
    group, scales = layer(weights), RNG.uniform(1, 2, COLUMNS).astype(np.float32)
    prepared = replace(identity([group]), divisors=RNG.uniform(1, 4, WIDTH).astype(np.float32))
    integers, correction = GptqRounder({"input": stats_of(x)})(group, prepared, weights, scales)
    mean = (x / prepared.divisors).mean(axis=0)
    lost = mean @ (weights - integers * scales)
    assert np.abs(lost).max() > 1
    np.testing.assert_allclose(correction, lost, rtol=1e-3, atol=1e-3)


def test_faint_inputs(weights: Floats) -> None:
    """Weights are rounded even if inputs of 1e-30 make products of divisors underflow in float32."""
    x = (1e-30 * RNG.normal(size=(400, WIDTH))).astype(np.float32)
    x[:, 3] *= 1000
    group, seen = layer(weights), {"input": stats_of(x)}
    divisors = np.full(WIDTH, 1e-28, np.float32)
    prepared = replace(identity([group]), divisors=divisors)
    integers, _ = GptqRounder(seen)(group, prepared, weights, np.ones(COLUMNS, np.float32))
    assert np.abs(integers - weights).mean() < 1
