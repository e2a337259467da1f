"""Litmus export: a checkpoint folder in, an artifact folder out. See `python -m export --help`."""
