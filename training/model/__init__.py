"""The encoder, its classification head, and how they are trained."""
