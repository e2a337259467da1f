"""Runs contenders: one process each, interleaved rounds."""
