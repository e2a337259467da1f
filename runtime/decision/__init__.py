"""From logits to predictions and explanations: pure functions."""
