"""Exports, simplifies and checks the fp32 ONNX graph."""
