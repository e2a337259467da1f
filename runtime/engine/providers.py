"""Selects the variant for each execution provider.

The provider decides the variant: on a CPU fp16 is ten times slower than int8, and on CUDA int8 is fifteen times slower
than fp16, because onnxruntime copies its inputs to the CPU and back.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..artifact.manifest import Variant
from ..errors import ArtifactError, DependencyError, ProviderError
from .ort import onnxruntime

PACKAGES = Path(onnxruntime.__file__).parents[1]  # where pip installs packages and their metadata
Provider = Literal["auto", "cpu", "cuda"]
PROVIDERS: Mapping[str, str] = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
PREFERRED: Mapping[str, tuple[str, ...]] = {"cuda": ("fp16", "fp32"), "cpu": ("int8", "fp32")}


def provider_candidates(
    provider: str, name: str | None, variants: Sequence[Variant]
) -> tuple[tuple[str, Variant], ...]:
    """Lists the providers to try, in order, each with its variant.

    Args:
        provider: `cpu`, `cuda`, or `auto` for CUDA, if this onnxruntime has it, and then the CPU.
        name: Name of the variant; None for the fastest one for the provider.
        variants: The variants of the artifact.

    Raises:
        DependencyError: onnxruntime is installed twice.
        ProviderError: The provider is unknown, not part of this onnxruntime, or has no variant in the artifact.
        ArtifactError: The artifact has no variant of that name.
    """
    _check_onnxruntime()
    if not isinstance(provider, str) or (provider != "auto" and provider not in PROVIDERS):
        raise ProviderError(f"unknown provider {provider!r}: expected auto, {', '.join(sorted(PROVIDERS))}")
    known = ", ".join(variant.name for variant in variants)
    if name is not None and name not in [variant.name for variant in variants]:
        raise ArtifactError(f"variant {name!r} is not in this artifact; it has: {known}")
    present = onnxruntime.get_available_providers()
    if provider in PROVIDERS and PROVIDERS[provider] not in present:
        raise ProviderError(
            f"provider {provider!r} is not in this onnxruntime, which has {', '.join(present)}: "
            "use provider 'cpu', or pip uninstall onnxruntime and pip install onnxruntime-gpu"
        )
    found = []
    for candidate in PROVIDERS if provider == "auto" else (provider,):
        variant = best_variant(candidate, name, variants)
        if PROVIDERS[candidate] in present and variant is not None:
            found.append((candidate, variant))
    if not found:
        requested = [variant for variant in variants if name in (None, variant.name)]
        meant = ", ".join(sorted({item for variant in requested for item in variant.providers}))
        raise ProviderError(
            f"nothing to run on provider {provider!r}: the artifact has {name or known} for {meant}; "
            f"this onnxruntime has {', '.join(present)}"
        )
    return tuple(found)


def best_variant(provider: str, name: str | None, variants: Sequence[Variant]) -> Variant | None:
    """Returns the variant that `provider_candidates` chooses for `cpu` or `cuda`; None if there is none."""
    for preferred in PREFERRED[provider] if name is None else (name,):
        for variant in variants:
            if variant.name == preferred and PROVIDERS[provider] in variant.providers:
                return variant
    return None


def _check_onnxruntime() -> None:
    """Rejects an environment with two distributions of onnxruntime, which overwrite each other's files."""
    installed = {path.name.partition("-")[0] for path in PACKAGES.glob("onnxruntime*.dist-info")}
    if {"onnxruntime", "onnxruntime_gpu"} <= installed:
        raise DependencyError(
            "both onnxruntime and onnxruntime-gpu are installed and overwrite each other: "
            "pip uninstall both, then pip install one of them"
        )
