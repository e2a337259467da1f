"""Tests of `benchmarks/data`."""
