"""Writes the artifact folder: manifest, golden scores, model card, decision parameters."""
