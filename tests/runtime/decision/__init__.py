"""Tests of `runtime/decision`."""
