"""Tests of `export/artifact`."""
