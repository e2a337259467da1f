"""Tests of `runtime/scheduling`."""
