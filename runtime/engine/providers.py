"""Which variant runs on which execution provider.

The variant follows the provider: fp16 is ten times slower on a CPU than int8, int8 fifteen times slower on CUDA than
fp16 (onnxruntime moves it to the CPU and back).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..artifact.manifest import Variant
from ..errors import ArtifactError, DependencyError, ProviderError
from .ort import onnxruntime

PACKAGES = Path(onnxruntime.__file__).parents[1]  # where pip puts both, and what it knows of them
Provider = Literal["auto", "cpu", "cuda"]
PROVIDERS: Mapping[str, str] = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
PREFERRED: Mapping[str, tuple[str, ...]] = {"cuda": ("fp16", "fp32"), "cpu": ("int8", "fp32")}


def provider_candidates(
    provider: str, name: str | None, variants: Sequence[Variant]
) -> tuple[tuple[str, Variant], ...]:
    """Returns the providers to try in turn, each with its variant.

    Args:
        provider: `cpu`, `cuda`, or `auto` for CUDA where this onnxruntime has it, then the CPU.
        name: The variant, or None for the fastest that is meant for the provider.
        variants: Those of the artifact.

    Raises:
        DependencyError: onnxruntime is installed twice.
        ProviderError: Unknown, not part of this onnxruntime, or without a variant that is meant for it.
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
    for asked in PROVIDERS if provider == "auto" else (provider,):
        variant = _best(asked, name, variants)
        if PROVIDERS[asked] in present and variant is not None:
            found.append((asked, variant))
    if not found:
        asked_for = [variant for variant in variants if name in (None, variant.name)]
        meant = ", ".join(sorted({item for variant in asked_for for item in variant.providers}))
        raise ProviderError(
            f"nothing to run on provider {provider!r}: the artifact has {name or known} for {meant}; "
            f"this onnxruntime has {', '.join(present)}"
        )
    return tuple(found)


def _best(provider: str, name: str | None, variants: Sequence[Variant]) -> Variant | None:
    for preferred in PREFERRED[provider] if name is None else (name,):
        for variant in variants:
            if variant.name == preferred and PROVIDERS[provider] in variant.providers:
                return variant
    return None


def _check_onnxruntime() -> None:
    """Refuses to load with two distributions of onnxruntime, which overwrite each other's files."""
    installed = {path.name.partition("-")[0] for path in PACKAGES.glob("onnxruntime*.dist-info")}
    if {"onnxruntime", "onnxruntime_gpu"} <= installed:
        raise DependencyError(
            "both onnxruntime and onnxruntime-gpu are installed and overwrite each other: "
            "pip uninstall both, then pip install one of them"
        )
