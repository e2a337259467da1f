"""Errors of the benchmarks. Their messages never contain the texts."""


class BenchmarkError(Exception):
    """Something cannot be measured on this machine."""
