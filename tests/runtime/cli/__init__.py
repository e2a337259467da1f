"""Tests of `runtime/cli`."""
