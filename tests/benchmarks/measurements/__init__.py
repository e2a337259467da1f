"""Tests of `benchmarks/measurements`."""
