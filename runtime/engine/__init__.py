"""One onnxruntime session: providers, threads, memory, and the ONNX file it reads."""
