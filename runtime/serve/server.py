"""One process of the service: the event loop, the signals, and the end."""

import argparse
import asyncio
import contextlib
import functools
import gc
import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from ..cli.arguments import load_classifier
from ..errors import LitmusError, SettingError
from .app import build_app
from .arguments import hosts, limits
from .gate import Gate
from .keys import read_keys
from .logs import logger
from .metrics import Metrics
from .model import ModelSlot
from .protocol import with_limits
from .service import Service
from .settings import Access

POLL_S = 0.02
WATCH_S = 2.0
GAUGES_S = 1.0
GRACE_S = 0.3  # in which clients on open connections learn that the service shuts down


class Server(uvicorn.Server):
    """uvicorn's server, with signals that drain it and replace its model."""

    def __init__(self, config: uvicorn.Config, gate: Gate, drain_s: float, on_started: Callable[[], None]) -> None:
        """Takes the configuration, what the signals act on, and what to call when connections are accepted."""
        super().__init__(config)
        self._gate = gate
        self._drain_s = drain_s
        self._on_started = on_started
        self._drain: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leaves the signals alone; `Process` handles them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept connections."""
        await super().startup(sockets)
        self._on_started()

    def stop(self) -> None:
        """Refuses new requests, completes the others, and ends the server; at once if called again."""
        if self._drain is None:
            self._gate.draining = True
            self._drain = asyncio.get_running_loop().create_task(self._end_when_idle())
        else:
            self.should_exit = self.force_exit = True

    async def _end_when_idle(self) -> None:
        started = time.monotonic()
        while time.monotonic() < started + self._drain_s:
            if not self._gate.active and time.monotonic() > started + GRACE_S:
                break
            await asyncio.sleep(POLL_S)
        self.should_exit = True


class Process:
    """Runs the service in this process."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Takes the checked command line."""
        self._args = args
        self._limits = limits(args)
        self._log = logger()
        self._metrics = Metrics()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_failure = ""

    def run(self, listener: socket.socket) -> None:
        """Serves until a signal ends it.

        Args:
            listener: A bound socket.

        Raises:
            LitmusError: The artifact or the keys cannot be read.
        """
        _forbid_core_dumps()
        uvloop_or_asyncio().run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        args = self._args
        access = Access(_keys(args), hosts(args))
        self._slot = ModelSlot(
            args.model,
            functools.partial(load_classifier, args, warm_up=True),
            self._limits,
            on_batch=self._metrics.batch,
        )
        await self._slot.start()
        gc.collect()
        gc.freeze()  # what is loaded stays, so later collections need not look at it
        name = args.name or args.model.resolve().name.encode(errors="replace").decode()
        service = Service(self._slot, self._limits, name, echo_input=args.echo_input)
        self._gate = build_app(service, access, self._metrics, self._log)
        quiet = logging.getLogger("uvicorn.error")  # it would print the errors of broken requests
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        config = uvicorn.Config(
            self._gate,
            http=with_limits(self._limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(self._limits.idle_s) or 1,
            timeout_graceful_shutdown=1,  # after the drain
            ssl_certfile=args.tls_cert,
            ssl_keyfile=args.tls_key,
        )
        address = "{}:{}".format(*listener.getsockname()[:2])
        self._server = Server(
            config,
            self._gate,
            self._limits.drain_s,
            lambda: self._log.info("started", address=address, model=name, **_described(self._slot)),
        )
        loop = asyncio.get_running_loop()
        for number in signal.SIGINT, signal.SIGTERM:
            loop.add_signal_handler(number, self._server.stop)
        loop.add_signal_handler(signal.SIGHUP, self._spawn_reload)
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._spawn(self._keep_gauges())

            def follow() -> None:
                loop.remove_reader(parent.sentinel)
                self._server.stop()

            loop.add_reader(parent.sentinel, follow)  # readable once the process that started this one has died
        if args.watch:
            self._spawn(self._watch())
        try:
            await self._server.serve([listener])
        finally:
            for task in (*self._tasks, *self._server.server_state.tasks):
                task.cancel()
            await asyncio.sleep(0)  # in which requests that are cut off leave the queue
            await self._slot.close()
        self._log.info("stopped")

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spawn_reload(self) -> None:
        self._spawn(self._reload())

    async def _reload(self) -> None:
        """Reads the keys again, and loads the artifact again if it has changed."""
        try:
            self._gate.access = Access(_keys(self._args), hosts(self._args))
        except LitmusError as error:
            self._log.error("keys kept", error=str(error))
        await self._replace()

    async def _replace(self, *, watching: bool = False) -> None:
        """Replaces the model; the same failure is noted once while watching."""
        try:
            if await self._slot.replace(retry=not watching):
                self._last_failure = ""
                self._metrics.replaced("replaced")
                self._log.info("model replaced", **_described(self._slot))
        except (LitmusError, OSError, MemoryError) as error:
            if watching and str(error) == self._last_failure:
                return
            self._last_failure = str(error)
            self._metrics.replaced("failed")
            self._log.error("model kept", error=str(error))

    async def _keep_gauges(self) -> None:
        """Keeps the gauges current for another worker, which reads them from a file."""
        while True:
            await asyncio.sleep(GAUGES_S)
            self._metrics.look_at(self._slot)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            await self._replace(watching=True)


def uvloop_or_asyncio() -> Any:
    """Returns the module that runs the event loop: uvloop, which does not exist for Windows, or asyncio."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio
    return uvloop


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """Returns a bound socket.

    Args:
        host: Address to listen on.
        port: Port; 0 for a free one.
        shared: Whether several processes bind the same port.

    Raises:
        SettingError: The address cannot be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not an address"
        raise SettingError(f"cannot listen on {host!a:.80} port {port}: {reason}") from error
    return listener


def _forbid_core_dumps() -> None:
    """Makes a crash leave no image of the memory behind, which has texts in it."""
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _keys(args: argparse.Namespace) -> tuple[bytes, ...]:
    return () if args.api_key_file is None else read_keys(args.api_key_file)


def _described(slot: ModelSlot) -> dict[str, Any]:
    classifier = slot.model.classifier
    return {
        "sha256": slot.model.sha256,
        "variant": classifier.variant,
        "provider": classifier.provider,
        "threads": classifier.threads,
    }
