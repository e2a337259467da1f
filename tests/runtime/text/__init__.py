"""Tests of `runtime/text`."""
