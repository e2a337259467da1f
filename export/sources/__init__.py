"""Reads a checkpoint or an ONNX export, and the texts to calibrate and evaluate on."""
