"""Scores the parts of a job on a Ray cluster.

Ray Data schedules parts, not texts: what goes through Ray is the number of a part and its receipt. Every actor reads
its parts itself and writes them as one process would, so resuming and the bytes of the output are the same. A node that
is lost costs the parts that it was scoring, which Ray gives to others.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import InferenceError, InputError, LitmusError
from ..extras import needs_extra
from ..jobs.job import RunParts, Stop
from ..jobs.output_folder import Receipt
from ..jobs.part import Job, PartScorer, TooManyRejectsError
from ..jobs.plan import Part

OBJECT_STORE_BYTES = 100 << 20  # of a cluster that starts here; by default Ray takes 30 % of the memory
MAX_BLOCKS = 10_000
CONNECT_S = 10
STOPPED = "stopped"


def on_ray(address: str | None, *, actors: int | None, cpus: int) -> RunParts:
    """Returns what scores the parts of a job on Ray.

    Args:
        address: Address of the cluster; None for the one of RAY_ADDRESS, or else for one that starts on this machine.
        actors: Number of actors, each with a classifier of its own; None for as many as there are CPUs, or GPUs, for.
        cpus: Number of CPUs of an actor.

    Raises:
        DependencyError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import; Ray would report to its makers
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    with needs_extra("ray", "--ray needs Ray"):
        import ray.data  # noqa: F401, PLC0415 - the extra is needed only here
    return functools.partial(run_on_ray, address=address, actors=actors, cpus=cpus)


def run_on_ray(
    job: Job,
    parts: Sequence[Part],
    *,
    allowed: int | None,
    on_rows: Callable[[int], None],
    stop: Stop,
    address: str | None,
    actors: int | None,
    cpus: int,
) -> Iterator[Receipt]:
    """Scores parts; arguments are those of `RunParts` and of `on_ray`.

    Raises:
        InputError: There is no such cluster, or as `PartScorer.score`.
        InferenceError: Ray could not finish.
    """
    if not parts:
        return
    with _connected(address, actors and actors * cpus), stop.on_signals():  # again: Ray sets a handler of its own
        import ray  # noqa: PLC0415 - as in on_ray

        gpus = 1 if job.engine["provider"] == "cuda" else 0
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        most = sum(_places(node["Resources"], cpus, gpus) for node in nodes if node["Alive"])
        if not most:
            raise InputError(f"--ray: no node of the cluster has {cpus} CPUs{' and a GPU' * gpus} for an actor")
        size = min(actors or most, len(parts))
        stop.finish_parts(job.output.request_stop)
        if stop.requested:
            return
        data = ray.data.from_items(
            [{"part": part.to_json()} for part in parts], override_num_blocks=min(len(parts), MAX_BLOCKS)
        )
        done = data.map_batches(
            _Actor,
            fn_constructor_kwargs={"job": job, "allowed": allowed},
            batch_size=1,
            num_cpus=cpus,
            num_gpus=gpus,
            compute=ray.data.ActorPoolStrategy(size=size),
            udf_modifying_row_count=False,
        )
        try:
            for row in done.iter_rows():
                found = json.loads(row["result"])
                if found == STOPPED:
                    continue
                if "error" in found:
                    raise ERRORS[found["error"]](found["message"])
                receipt = Receipt(**found)
                on_rows(receipt.rows)
                yield receipt
        except ray.exceptions.RayError as error:
            raise InferenceError(
                f"Ray could not finish the job ({type(error).__name__}); start the same command again to resume"
            ) from error


ERRORS: dict[str, type[LitmusError]] = {
    error.__name__: error for error in (TooManyRejectsError, InputError, InferenceError)
}


class _Actor:
    """Scores the parts that Ray gives it."""

    def __init__(self, job: Job, allowed: int | None) -> None:
        self._job, self._allowed = job, allowed
        self._scorer: PartScorer | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Returns receipts, as JSON; errors as well, because Ray would print a stack trace."""
        return {"result": [json.dumps(self._score(Part.from_json(line))) for line in batch["part"].tolist()]}

    def _score(self, part: Part) -> Any:
        try:
            if self._job.output.is_stop_requested():
                return STOPPED
            known = self._job.output.find_receipt(part.number)  # of an actor that died before it could say so
            if known is not None:
                return dataclasses.asdict(known)
            if self._scorer is None:
                self._scorer = PartScorer(self._job)
            return dataclasses.asdict(self._scorer.score(part, allowed=self._allowed))
        except LitmusError as error:
            name = next((name for name, kind in ERRORS.items() if isinstance(error, kind)), InferenceError.__name__)
            return {"error": name, "message": str(error)}


def _places(resources: Mapping[str, float], cpus: int, gpus: int) -> int:
    """Returns the number of actors that a node has resources for."""
    places = int(resources.get("CPU", 0)) // cpus
    return min(places, int(resources.get("GPU", 0))) if gpus else places


def _check_address(address: str) -> None:
    """Raises OSError or ValueError if nothing listens at `host:port`, for which Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host, int(port)), CONNECT_S).close()


@contextlib.contextmanager
def _connected(address: str | None, cpus: int | None) -> Iterator[None]:
    """Connects to a cluster, or starts one of so many CPUs on this machine."""
    import ray  # noqa: PLC0415 - as in on_ray

    where = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if where == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES, "num_cpus": cpus}
    try:
        _check_address(where)
        ray.init(where, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"--ray: there is no cluster at this address ({type(error).__name__})") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()
