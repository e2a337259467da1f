"""The classifier: an artifact, loaded once, that turns texts into predictions."""

import os
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from . import policy
from .artifact import TOKENIZER, open_artifact
from .batches import batches
from .errors import TextTypeError
from .manifest import Manifest
from .policy import Prediction
from .providers import Provider
from .session import check_version, open_session
from .threads import check_threads
from .tokenizer import Encoded, Tokenizer


def load(
    folder: str | os.PathLike[str],
    *,
    provider: Provider = "auto",
    variant: str | None = None,
    threads: int | None = None,
) -> "Classifier":
    """Loads an artifact.

    Args:
        folder: An artifact folder that `python -m export` wrote.
        provider: `cpu`, `cuda`, or `auto`: CUDA where this onnxruntime has it, else the CPU.
        variant: `int8`, `fp32` or `fp16`, to compare them; None for the one that is meant for the provider.
        threads: Threads for one inference; None for one per CPU that this process may use.

    Raises:
        ArtifactNotFoundError: There is no artifact.
        ArtifactError: It is damaged, not for this version, or lacks the variant.
        ProviderError: The provider is unknown, did not start, or is not what the variant is for.
        DependencyError: onnxruntime is installed twice.
        SettingError: `threads` is no number from 1 to 256.
    """
    return Classifier(folder, provider=provider, variant=variant, threads=threads)


class Classifier:
    """A tokenizer and one onnxruntime session. Threads may share it; made by `load`."""

    def __init__(
        self, folder: str | os.PathLike[str], *, provider: Provider, variant: str | None, threads: int | None
    ) -> None:
        check_threads(threads)
        artifact = open_artifact(folder)
        self.manifest: Manifest = artifact.manifest
        check_version(self.manifest.min_onnxruntime)
        self._session = open_session(
            artifact.folder,
            self.manifest.variants,
            provider=provider,
            name=variant,
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
    def variant(self) -> str:
        """`int8`, `fp32` or `fp16`: which of the artifact's models runs."""
        return self._session.variant

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
        for positions in batches([len(text.ids) for text in encoded]):
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
