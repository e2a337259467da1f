"""Tests of `benchmarks` with small random models in real processes. No test asserts that anything is fast."""
