"""How a classifier uses the machine, as `load` is asked for it; none of it changes a prediction."""

from dataclasses import dataclass
from typing import Literal, get_args

from ..checks import require_whole_number, short_repr
from ..errors import SettingError

MAX_THREADS = 256
MAX_BATCH_TOKENS = 1 << 20
Profile = Literal["latency", "shared"]


@dataclass(frozen=True)
class Settings:
    """How to use the machine.

    Attributes:
        threads: Threads for one inference; None for one per CPU that this process may use.
        profile: `latency`: threads stay awake between operators. `shared`: they sleep, for machines with other work.
        batch_tokens: Most tokens of a batch, padding included; None for what suits the provider.
        gpu_memory_mb: CUDA: the most device memory it takes, in MiB; None for no bound.
    """

    threads: int | None = None
    profile: Profile = "latency"
    batch_tokens: int | None = None
    gpu_memory_mb: int | None = None

    def __post_init__(self) -> None:
        """Checks them.

        Raises:
            SettingError: One is out of range.
        """
        require_whole_number("threads", self.threads, MAX_THREADS)  # onnxruntime takes the machine down with 100,000
        require_whole_number("batch_tokens", self.batch_tokens, MAX_BATCH_TOKENS)
        require_whole_number("gpu_memory_mb", self.gpu_memory_mb)
        if self.profile not in get_args(Profile):
            raise SettingError(f"profile: expected {' or '.join(get_args(Profile))}, found {short_repr(self.profile)}")


DEFAULT = Settings()
