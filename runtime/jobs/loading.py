"""Loads the artifact of a job, which has to be the same in every process and on every machine."""

from collections.abc import Mapping
from typing import Any

from ..artifact.folder import read_artifact
from ..classifier import Classifier, open_classifier
from ..engine.settings import Settings
from ..errors import ArtifactError


def load_same(path: str, sha256: str, engine: Mapping[str, Any]) -> Classifier:
    """Loads an artifact that has a hash.

    Args:
        path: Path of the artifact.
        sha256: Its hash.
        engine: `provider`, `variant`, and fields of `Settings`.

    Raises:
        ArtifactError: The artifact is another one, or as `load`.
        LitmusError: As `load`.
    """
    artifact = read_artifact(path)
    if artifact.sha256 != sha256:
        raise ArtifactError("the artifact is not the one that was named first; give every process and machine the same")
    settings = {name: value for name, value in engine.items() if name not in ("provider", "variant")}
    return open_classifier(
        artifact, provider=engine["provider"], variant=engine["variant"], settings=Settings(**settings)
    )
