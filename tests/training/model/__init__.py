"""Tests of `training/model`."""
