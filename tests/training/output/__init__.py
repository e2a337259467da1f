"""Tests of `training/output`."""
