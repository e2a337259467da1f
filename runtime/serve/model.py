"""The model that the service runs, and its replacement by another one without a gap."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ..artifact.folder import read_artifact
from ..async_classifier import AsyncClassifier
from ..classifier import Classifier
from ..engine.providers import Provider
from ..errors import ArtifactError
from ..scheduling.queue import OnBatch
from ..verify import verify
from .settings import Limits

Load = Callable[[], Classifier]


@dataclass(eq=False)
class Model:
    """One loaded artifact.

    Attributes:
        classifier: The classifier.
        queue: Runs the texts of the requests.
        sha256: Digest of the artifact, which names it in responses and logs.
        short_names: Short name by label; the label itself if the artifact has none.
        users: Number of requests that use it.
        is_retired: Whether another model has taken its place.
    """

    classifier: Classifier
    queue: AsyncClassifier
    sha256: str
    short_names: Mapping[str, str]
    users: int = 0
    is_retired: bool = False
    unused: asyncio.Event = field(default_factory=asyncio.Event)


class ModelSlot:
    """Holds the current model; requests that began with an older one end with it."""

    def __init__(self, folder: Path, load: Load, limits: Limits, on_batch: OnBatch | None = None) -> None:
        """Takes the artifact's folder and the function that loads it."""
        self.folder = folder
        self._load = load
        self._limits = limits
        self._on_batch = on_batch
        self._model: Model | None = None
        self._failed: str | None = None  # digest of the artifact that could not be used last
        self._replacing = asyncio.Lock()

    @property
    def model(self) -> Model:
        """The current model."""
        assert self._model is not None, "start has not been awaited"
        return self._model

    @contextlib.contextmanager
    def use(self) -> Iterator[Model]:
        """Keeps the current model open for the body."""
        model = self.model
        model.users += 1
        try:
            yield model
        finally:
            model.users -= 1
            if model.is_retired and not model.users:
                model.unused.set()

    async def start(self) -> None:
        """Loads the artifact.

        Raises:
            LitmusError: It cannot be loaded.
        """
        self._model = await asyncio.to_thread(self._open)

    async def replace(self, *, retry: bool = True) -> bool:
        """Loads the artifact again if it has changed, and lets new requests use it; the old one stays on an error.

        Args:
            retry: Whether to try an artifact that has failed before.

        Returns:
            Whether another artifact is in use now.

        Raises:
            LitmusError: The new artifact cannot be loaded, or does not reproduce its golden scores.
        """
        async with self._replacing:
            found = await asyncio.to_thread(lambda: read_artifact(self.folder).sha256)
            if found == self.model.sha256 or (found == self._failed and not retry):
                return False
            self._failed = found
            new = await asyncio.to_thread(self._open_verified)
            self._failed = None
            old, self._model = self.model, new
            old.is_retired = True
            if old.users:
                await old.unused.wait()
            await _close(old)
            return True

    async def close(self) -> None:
        """Closes the current model after the requests that use it."""
        if self._model is not None:
            await _close(self._model)

    def _open_verified(self) -> Model:
        report = verify(self.folder, provider=cast(Provider, self.model.classifier.provider))
        if report.failures:
            raise ArtifactError(f"the artifact does not reproduce its golden scores: {report.failures[0]}")
        return self._open()

    def _open(self) -> Model:
        classifier = self._load()
        queue = AsyncClassifier(
            classifier,
            max_waiting_tokens=self._limits.max_waiting_tokens,
            max_wait_s=self._limits.max_wait_s,
            on_batch=self._on_batch,
        )
        manifest = classifier.manifest
        names = dict(zip(manifest.labels, manifest.short_names or manifest.labels, strict=True))
        return Model(classifier, queue, classifier.info()["artifact"]["sha256"], names)


async def _close(model: Model) -> None:
    await model.queue.aclose()
    model.classifier.close()
