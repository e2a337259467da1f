"""Tests of `export/sources`."""
