"""From logits to labels: temperature, thresholds, metrics."""
