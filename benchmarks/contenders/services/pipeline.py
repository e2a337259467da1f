"""What Litmus replaces: FastAPI around a transformers pipeline in PyTorch, one request at a time."""

import sys
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Body(BaseModel):
    """The body of a request."""

    texts: list[str]


def main(port: int, checkpoint: str, threads: int) -> None:
    """Serves a checkpoint."""
    torch.set_num_threads(threads)
    classify = pipeline("text-classification", checkpoint, top_k=None, device="cpu")
    app = FastAPI()

    @app.post("/predict")
    def predict(body: Body) -> list[dict[str, object]]:
        found: Any = classify(body.texts, truncation=True)
        return [{"proba": {item["label"]: item["score"] for item in scores}} for scores in found]

    uvicorn.run(app, port=port, log_level="critical", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[3], int(sys.argv[4]))
