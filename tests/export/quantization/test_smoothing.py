"""The preparation of an activation is exact before rounding, and its expected error is the real one."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from export.graph.layers import Floats, Linear
from export.quantization.activation_stats import ActivationStats
from export.quantization.smoothing import Preparation, _choices, expected_error, identity, prepare

RNG = np.random.default_rng(5)
WIDTH, COLUMNS = 24, 16


def layer(weights: Floats) -> Linear:
    """Returns a linear layer without a graph."""
    values = [ir.Value(name=name) for name in ("input", "output", "weight")]
    node = ir.node("MatMul", [values[0], values[2]], outputs=[values[1]])
    return Linear("layer", (node,), values[0], values[1], values[2], weights, None)


@pytest.fixture
def weights() -> Floats:
    """Returns weights, (24, 16) float32."""
    return RNG.normal(size=(WIDTH, COLUMNS)).astype(np.float32)


@pytest.fixture
def activations() -> Floats:
    """Returns activations, (400, 24) float32; channel 3 is thirty times the others."""
    x = RNG.normal(size=(400, WIDTH)).astype(np.float32)
    x[:, 3] *= 30
    return x


def stats_of(x: Floats) -> ActivationStats:
    """Returns the statistics of one text."""
    return ActivationStats(x.min(axis=0)[None], x.max(axis=0)[None], x.mean(axis=0), np.cov(x, rowvar=False, bias=True))


def every_choice(weights: Floats, x: Floats) -> list[Preparation]:
    """Returns every preparation considered for a layer that can be widened."""
    group = layer(weights)
    return list(_choices(identity([group]), weights, stats_of(x), group, None))


def test_exact_before_rounding(weights: Floats, activations: Floats) -> None:
    """Division, multiplication and splitting leave the product unchanged."""
    choices = every_choice(weights, activations)
    assert len(choices) > 10
    for choice in choices:
        product = (activations[:, choice.channels] / choice.divisors) @ (
            weights[choice.channels] * choice.rows[:, None]
        )
        np.testing.assert_allclose(product, activations @ weights, rtol=1e-4, atol=1e-3)


def rounded(weights: Floats, x: Floats, choice: Preparation) -> Floats:
    """Returns the product with input and weights rounded to int8."""
    prepared = x[:, choice.channels] / choice.divisors
    step = (max(prepared.max(), 0) - min(prepared.min(), 0)) / 255
    multiplied = weights[choice.channels] * choice.rows[:, None]
    steps = np.abs(multiplied).max(axis=0) / 127
    return (np.rint(prepared / step) * step) @ (np.rint(multiplied / steps) * steps)


def test_expected_error_is_the_rounding_error(weights: Floats, activations: Floats) -> None:
    """The expected error is the real rounding error within a factor of two."""
    for choice in every_choice(weights, activations):
        error = np.square(rounded(weights, activations, choice) - activations @ weights).mean(axis=0).sum()
        expected = expected_error(weights, stats_of(activations), choice)
        assert 0.5 < expected / error < 2


def test_outlier(weights: Floats, activations: Floats) -> None:
    """With an outlier the chosen preparation at least halves the error; without one the input stays as it is."""
    group = layer(weights)
    chosen = prepare([group], {"input": stats_of(activations)}, [], [])
    errors = [
        np.square(rounded(weights, activations, choice) - activations @ weights).mean()
        for choice in (chosen, identity([group]))
    ]
    assert errors[0] < errors[1] / 2
    even = prepare([group], {"input": stats_of(RNG.normal(size=(400, WIDTH)).astype(np.float32))}, [], [])
    assert (even.divisors == 1).all()
    assert len(even.channels) == WIDTH


def test_dead_channel(weights: Floats, activations: Floats) -> None:
    """A channel or row near zero is not smoothed, so nothing is divided by zero."""
    activations[:, 7] = 1e-30
    weights[9] = 0
    for choice in every_choice(weights, activations):
        assert choice.divisors[choice.channels == 7] == 1
        assert choice.rows[choice.channels == 9] == 1
        assert np.isfinite(expected_error(weights, stats_of(activations), choice))


def test_zero_activations(weights: Floats) -> None:
    """If all activations are zero, no layer is widened."""
    silent = stats_of(np.zeros((9, WIDTH), np.float32))
    front, group = layer(weights), layer(weights)
    front, group = layer(weights), layer(weights)
    node = ir.node("Relu", [front.output])
    group = replace(group, input=node.outputs[0], nodes=(ir.node("MatMul", [node.outputs[0], group.weight]),))
    chosen = prepare([group], {str(group.input.name): silent}, [], [front, group])
    assert chosen.widened is None
