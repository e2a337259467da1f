"""Runs in OpenVINO's environment: logits of ONNX files, from a job on standard input to standard output, both JSON."""

import json
import sys

import numpy as np
import openvino

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}  # else it rounds to bfloat16 where a CPU can


def main() -> None:
    """Reads {"files": paths, "batches": inputs by name}; prints every file's logits, batch by batch."""
    job = json.load(sys.stdin)
    found = []
    for file in job["files"]:
        model = openvino.Core().compile_model(file, "CPU", SETTINGS)
        names = [port.get_any_name() for port in model.inputs]
        batches = [{name: np.array(batch[name]) for name in names} for batch in job["batches"]]
        found.append([model(batch)["logits"].tolist() for batch in batches])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
