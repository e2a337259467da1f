"""Tests of `export/quantization`."""
