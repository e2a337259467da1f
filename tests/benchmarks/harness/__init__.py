"""Tests of `benchmarks/harness`."""
