"""Evaluates an artifact on any labelled file. Needs the runtime and scikit-learn, not PyTorch."""
