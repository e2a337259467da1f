"""The classifier: an artifact, loaded once, that turns texts into predictions."""

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from . import policy
from .artifact import TOKENIZER, open_artifact
from .errors import TextTypeError
from .manifest import Manifest
from .policy import Prediction
from .session import Provider, check_version, open_session
from .threads import check_threads
from .tokenizer import Encoded, Tokenizer

MAX_BATCH_TOKENS = 512  # activations then stay in the cache: twice as fast as 4096 (docs/experiments.md)


def load(folder: str | os.PathLike[str], *, provider: Provider = "auto", threads: int | None = None) -> "Classifier":
    """Loads an artifact.

    Args:
        folder: An artifact folder that `python -m export` wrote.
        provider: `cpu`, `cuda`, or `auto`: CUDA where this onnxruntime has it, else the CPU.
        threads: Threads for one inference; None for one per CPU that this process may use.

    Raises:
        ArtifactNotFoundError: There is no artifact.
        ArtifactError: It is damaged, or not for this version.
        ProviderError: The provider is unknown or did not start.
        DependencyError: onnxruntime is installed twice.
        SettingError: `threads` is no number from 1 to 256.
    """
    return Classifier(folder, provider=provider, threads=threads)


class Classifier:
    """A tokenizer and one onnxruntime session. Threads may share it; made by `load`."""

    def __init__(self, folder: str | os.PathLike[str], *, provider: Provider, threads: int | None) -> None:
        check_threads(threads)
        artifact = open_artifact(folder)
        self.manifest: Manifest = artifact.manifest
        check_version(self.manifest.min_onnxruntime)
        self._session = open_session(
            artifact.folder,
            self.manifest.variant("fp32"),
            provider=provider,
            threads=threads,
            labels=len(self.manifest.labels),
        )
        self._tokenizer = Tokenizer(
            artifact.folder / TOKENIZER,
            max_length=self.manifest.max_length,
            pad_token_id=self.manifest.pad_token_id,
            vocab_size=self.manifest.vocab_size,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the scores."""
        return self.manifest.labels

    @property
    def provider(self) -> str:
        """`cpu` or `cuda`: what the session really runs on."""
        return self._session.provider

    @property
    def threads(self) -> int:
        """Threads of one inference."""
        return self._session.threads

    def predict(self, text: str) -> Prediction:
        """Classifies one text.

        Raises:
            TextError: The text is empty, or (TextTypeError) no `str`.
            InferenceError: The model gave something that is not a number.
        """
        return self._predict_batch(self._tokenizer.encode([text]))[0]

    def predict_many(self, texts: Iterable[str]) -> list[Prediction]:
        """Classifies texts, in batches of similar length.

        Args:
            texts: Any number of texts; all of them are checked before the first is run.

        Returns:
            One prediction per text, in the order of the texts.

        Raises:
            TextError: A text is empty, or (TextTypeError) no `str`; the message has its position.
            InferenceError: The model gave something that is not a number.
        """
        _check_many(texts)
        encoded = self._tokenizer.encode(list(texts))
        predictions: dict[int, Prediction] = {}
        for positions in _batches(encoded, MAX_BATCH_TOKENS):
            batch = self._predict_batch([encoded[position] for position in positions])
            predictions.update(zip(positions, batch, strict=True))
        return [predictions[position] for position in range(len(encoded))]

    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Returns the raw logits of a few texts, run as one batch: (texts, labels) float32.

        Raises:
            TextError: As `predict`.
        """
        _check_many(texts)
        if not texts:
            return np.empty((0, len(self.labels)), np.float32)
        return self._session.run(self._tokenizer.pad(self._tokenizer.encode(texts)))

    def _predict_batch(self, batch: Sequence[Encoded]) -> list[Prediction]:
        logits = self._session.run(self._tokenizer.pad(batch))
        rows = policy.scores(logits, self.manifest).tolist()
        return [
            Prediction(
                labels=policy.choose(row, self.manifest),
                scores=dict(zip(self.labels, row, strict=True)),
                truncated=encoded.truncated,
                n_tokens=len(encoded.ids),
            )
            for row, encoded in zip(rows, batch, strict=True)
        ]


def _check_many(texts: object) -> None:
    """One `str` would be taken for the texts that its letters are."""
    if isinstance(texts, str):
        raise TextTypeError(0, "expected several texts, found one str; use predict for one text")


def _batches(encoded: Sequence[Encoded], max_tokens: int) -> Iterator[list[int]]:
    """Groups positions of similar length; no batch, padding included, exceeds `max_tokens` unless it is one text."""
    batch: list[int] = []
    for position in sorted(range(len(encoded)), key=lambda index: len(encoded[index].ids)):
        if batch and (len(batch) + 1) * len(encoded[position].ids) > max_tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
