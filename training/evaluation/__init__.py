"""Figures of a fine-tuned model, and of the baselines it is compared with."""
