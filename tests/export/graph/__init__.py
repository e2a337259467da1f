"""Tests of `export/graph`."""
