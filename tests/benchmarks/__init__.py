"""Tests of `benchmarks`: small random models, real processes; figures fit together, none is asserted to be fast."""
