"""One session over a verified ONNX file: arrays of token ids in, logits out. Knows nothing of text or labels."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..artifact.folder import artifact_errors
from ..artifact.manifest import FileEntry, Variant
from ..artifact.watched_file import WatchedFile
from ..errors import DependencyError, InferenceError, ProviderError
from .cuda import run_bound
from .fork import ForkGuard
from .inference_session import INPUTS, OUTPUT, check_signature, create_session, first_line
from .ort import onnxruntime
from .settings import DEFAULT, Settings

Inputs = Mapping[str, npt.NDArray[np.int64]]


class Session:
    """A loaded model.

    Attributes:
        provider: `cpu` or `cuda`.
        variant: Name of the variant.
        labels: Number of columns of the logits.
        threads: Threads of one inference.
    """

    def __init__(
        self,
        folder: Path,
        variant: Variant,
        *,
        provider: str,
        labels: int,
        settings: Settings = DEFAULT,
        sha256: str | None = None,
    ) -> None:
        """Creates the session and checks its inputs and output once.

        Args:
            folder: The artifact's folder.
            variant: The variant to load.
            provider: `cpu` or `cuda`.
            labels: Expected number of columns of the logits.
            settings: How to use the machine.
            sha256: Expected hash of the file; None to skip the check, for a file that is being exported.

        Raises:
            ProviderError: The provider did not start, or cannot run the model.
            ArtifactError: The file has another hash, is not a model, or has other inputs or outputs than expected.
            InferenceError: There is not enough memory.
        """
        path = (folder / variant.file).resolve()
        with artifact_errors():
            self._file = WatchedFile(path, variant.file, sha256)
        session, self.threads = create_session(path, variant, provider, settings)
        self._file.check_path()
        self._inputs = check_signature(session, variant.file, labels)
        self._session: onnxruntime.InferenceSession | None = session
        self._guard = ForkGuard(session)
        self.provider = provider
        self.variant = variant.name
        self.labels = labels
        if provider != "cpu":
            self._smoke_test()

    def run(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Runs one batch.

        Args:
            inputs: At least the model's inputs, each (batch, sequence) int64.

        Returns:
            Logits, (batch, labels) float32.

        Raises:
            InferenceError: onnxruntime fails, the session is closed, its file was changed, or another process created
                it.
        """
        self._guard.check()
        session = self._session
        if session is None:
            raise InferenceError("the classifier is closed; load it again")
        named = {name: inputs[name] for name in self._inputs}
        expected = len(named[self._inputs[0]])
        self._file.check()
        logits = self._logits(session, named)
        while self._file.check():  # the file was touched during the run, which may have read other weights
            logits = self._logits(session, named)
        if len(logits) != expected:
            raise InferenceError(f"the model gave {len(logits)} rows of logits for {expected} texts; export it again")
        return logits

    def close(self) -> None:
        """Releases memory and threads after the runs of other threads have ended. Closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            self._guard.release()

    def __del__(self) -> None:
        guard = getattr(self, "_guard", None)
        if guard is not None and guard.is_owner:
            self.close()

    def _logits(self, session: onnxruntime.InferenceSession, inputs: Inputs) -> npt.NDArray[np.float32]:
        try:
            if self.provider == "cpu":
                (logits,) = session.run([OUTPUT], inputs)
            else:
                logits = run_bound(session, inputs, OUTPUT)
        except Exception as error:  # onnxruntime's own classes derive from Exception
            raise InferenceError(f"onnxruntime failed on {self.provider}: {first_line(error)}") from error
        return np.asarray(logits, np.float32)

    def _smoke_test(self) -> None:
        """Runs two tokens: a provider may start and then lack the kernels for this device."""
        try:
            self.run({name: np.ones((1, 2), np.int64) for name in INPUTS})
        except InferenceError as error:
            self.close()
            raise ProviderError(
                f"{self.provider} starts but cannot run the model here; use provider 'cpu'. {error}"
            ) from error


def open_session(
    folder: Path,
    candidates: Sequence[tuple[str, Variant]],
    *,
    labels: int,
    settings: Settings = DEFAULT,
    files: Mapping[str, FileEntry],
) -> Session:
    """Creates a session on the first provider that works.

    Args:
        folder: The artifact's folder.
        candidates: Providers to try with their variants, from `provider_candidates`.
        labels: Expected number of columns of the logits.
        settings: How to use the machine.
        files: The manifest's files, for their hashes.

    Raises:
        ProviderError: No candidate works; the error is the last one's.
        ArtifactError: As `Session`.
        InferenceError: As `Session`.
    """

    def attempt(provider: str, variant: Variant) -> Session:
        sha256 = files[variant.file].sha256
        return Session(folder, variant, provider=provider, labels=labels, settings=settings, sha256=sha256)

    *others, last = candidates
    for provider, variant in others:
        with contextlib.suppress(ProviderError):
            return attempt(provider, variant)
    return attempt(*last)


def check_version(minimum: str) -> None:
    """Checks that onnxruntime is at least the release that the artifact needs.

    Raises:
        DependencyError: It is older; the message has both versions.
    """
    found = onnxruntime.__version__
    if _release(found) < _release(minimum):
        raise DependencyError(f"the artifact needs onnxruntime {minimum} or later, found {found}; upgrade onnxruntime")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
