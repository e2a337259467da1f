"""Contenders whose packages conflict with those of Litmus. Each has an environment made from its requirements.txt."""
