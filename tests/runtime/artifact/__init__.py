"""Tests of `runtime/artifact`."""
