"""Peers whose packages conflict with ours; each gets its own environment from its requirements.txt."""
