"""Litmus benchmarks: speed, size and quality of an artifact, compared with alternatives. Run `python -m benchmarks`."""
