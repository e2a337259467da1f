"""Tests of `runtime/jobs`."""
