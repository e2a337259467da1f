"""Errors of the benchmarks. Like the runtime's, their messages never contain the texts."""


class BenchmarkError(Exception):
    """Something cannot be measured here."""
