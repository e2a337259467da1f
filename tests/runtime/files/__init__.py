"""Tests of `runtime/files`."""
