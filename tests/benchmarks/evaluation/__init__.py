"""Tests of `python -m benchmarks evaluate`."""
