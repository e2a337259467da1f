"""LitServe around Litmus's own classifier: PORT ARTIFACT CHECKPOINT THREADS."""

import sys
from typing import Any

import litserve

from runtime import load


class Classify(litserve.LitAPI):  # type: ignore[misc]
    """Classifies the texts of a request."""

    def setup(self, _: str) -> None:
        """Loads the classifier."""
        self._classifier = load(sys.argv[2], provider="cpu", threads=int(sys.argv[4]))

    def decode_request(self, request: dict[str, Any]) -> list[str]:
        """Returns the texts."""
        return list(request["texts"])

    def predict(self, texts: list[str]) -> list[dict[str, float]]:
        """Classifies them."""
        return [dict(prediction.scores) for prediction in self._classifier.predict_many(texts)]

    def encode_response(self, scores: list[dict[str, float]]) -> list[dict[str, Any]]:
        """Returns the response."""
        return [{"proba": row} for row in scores]


if __name__ == "__main__":
    server = litserve.LitServer(Classify(), accelerator="cpu")
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="critical")
