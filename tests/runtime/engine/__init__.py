"""Tests of `runtime/engine`."""
