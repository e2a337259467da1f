"""Tests of `python -m benchmarks report`."""
