"""Tests of Litmus; the folders mirror the packages."""
