"""Tests of `runtime/cluster`."""
