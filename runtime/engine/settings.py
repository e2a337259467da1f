"""How a classifier uses the machine. No setting changes a prediction."""

from dataclasses import dataclass
from typing import Literal, get_args

from ..checks import require_whole_number, short_repr
from ..errors import SettingError

MAX_THREADS = 256
MAX_BATCH_TOKENS = 1 << 20
Profile = Literal["latency", "shared"]


@dataclass(frozen=True)
class Settings:
    """How to use the machine; the arguments of `load` with the same names.

    Attributes:
        threads: Number of threads of one inference; None for one per CPU that this process may use.
        profile: `latency` keeps threads awake between operators; `shared` lets them sleep.
        batch_tokens: Maximum number of tokens of a batch, padding included; None for the provider's default.
        gpu_memory_mb: Limit on GPU memory, in MiB; None for no limit.
    """

    threads: int | None = None
    profile: Profile = "latency"
    batch_tokens: int | None = None
    gpu_memory_mb: int | None = None

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            SettingError: A setting is out of range.
        """
        require_whole_number("threads", self.threads, MAX_THREADS)  # 100,000 make the machine unusable
        require_whole_number("batch_tokens", self.batch_tokens, MAX_BATCH_TOKENS)
        require_whole_number("gpu_memory_mb", self.gpu_memory_mb)
        if self.profile not in get_args(Profile):
            raise SettingError(f"profile: expected {' or '.join(get_args(Profile))}, found {short_repr(self.profile)}")


DEFAULT = Settings()
