"""Tests of `training/decisions`."""
