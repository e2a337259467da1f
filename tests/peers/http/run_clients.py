"""Sends texts with the clients of Triton and KServe; prints what they received as JSON."""

import asyncio
import json
import sys
from typing import Any

import kserve
import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient, RESTConfig


def ask_triton(url: str, model: str, texts: list[str]) -> list[dict[str, Any]]:
    """Infers with every combination of binary and JSON data, and of both shapes."""
    client = triton.InferenceServerClient(url)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    names = [output["name"] for output in client.get_model_metadata(model)["outputs"]]
    found = []
    for number in range(8):
        shape = ([len(texts)], [len(texts), 1])[number % 2]
        tensor = triton.InferInput("text", shape, "BYTES")
        tensor.set_data_from_numpy(np.array(texts, object).reshape(shape), binary_data=number % 4 < 2)
        outputs = [triton.InferRequestedOutput(name, binary_data=number < 4) for name in names]
        response = client.infer(model, [tensor], outputs=outputs, request_id="42")
        assert response.get_response()["id"] == "42"
        arrays = {name: response.as_numpy(name) for name in names}
        found.append(
            {
                name: array.astype(str if array.dtype == object else array.dtype).tolist()
                for name, array in arrays.items()
            }
        )
    try:
        client.infer("other", [tensor])
    except triton.InferenceServerException as error:
        found.append({"error": error.message()})
    return found


async def ask_kserve(url: str, model: str, texts: list[str]) -> list[dict[str, Any]]:
    """Infers with JSON and with binary data."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    found = []
    for binary in False, True:
        tensor = kserve.InferInput("text", [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array(texts, object), binary_data=binary)
        request = kserve.InferRequest(model_name=model, infer_inputs=[tensor])
        response = await client.infer(url, request, model_name=model)
        found.append({output.name: output.data for output in response.outputs})
    return found


job = json.loads(sys.stdin.read())
address, name, sent = job["address"], job["model"], job["texts"]
print(
    json.dumps(
        {
            "triton": ask_triton(address, name, sent),
            "kserve": asyncio.run(ask_kserve(f"http://{address}", name, sent)),
        }
    )
)
