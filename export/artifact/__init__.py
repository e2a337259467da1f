"""The artifact folder: manifest, golden scores, model card, decisions."""
