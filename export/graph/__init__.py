"""The fp32 ONNX graph, and what its operators are."""
