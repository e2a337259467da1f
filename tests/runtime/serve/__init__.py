"""Tests of `runtime/serve`, against a real server process."""
