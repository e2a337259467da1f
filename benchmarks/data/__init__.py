"""The texts that the benchmarks run on."""
