"""Metrics of a fine-tuned model, and of the baselines that it is compared with."""
