"""Litmus benchmarks: latency and quality of an artifact beside the alternatives. See `python -m benchmarks --help`."""
