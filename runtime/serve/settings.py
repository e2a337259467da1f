"""The limits of the service; docs/service.md has the reason for each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the service accepts.

    Attributes:
        max_body_bytes: Size of the largest body.
        max_texts: Number of texts of one request.
        max_waiting_tokens: Number of tokens that wait.
        max_wait_s: Time that a request may be expected to wait for others, in seconds.
        timeout_s: Time after which a request ends with 504, in seconds; a request can ask for less.
        receive_s: Time in which a request has to arrive, in seconds.
        idle_s: Time after which a connection without a request is closed, in seconds.
        drain_s: Time in which requests are completed before the service exits, in seconds.
    """

    max_body_bytes: int = 2 << 20
    max_texts: int = 256
    max_waiting_tokens: int = 1 << 16
    max_wait_s: float = 0.075
    timeout_s: float = 30.0
    receive_s: float = 10.0
    idle_s: float = 65.0
    drain_s: float = 30.0


@dataclass(frozen=True)
class Access:
    """Who may use the service.

    Attributes:
        key_hashes: SHA-256 of each key that is accepted; empty for no keys.
        hosts: Names that the Host header may have; None for any.
    """

    key_hashes: tuple[bytes, ...] = ()
    hosts: frozenset[str] | None = None
