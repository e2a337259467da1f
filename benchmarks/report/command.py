"""`python -m benchmarks report`: runs every measurement, or reads what an earlier run measured, and writes the page.

    python -m benchmarks report --model build/artifact --checkpoint build/checkpoint --output_dir build/report

The folder has the JSON of every measurement. A run that was interrupted goes on with the measurement that it was in. A
measurement is repeated if artifact, checkpoint, settings, machine, versions or the runtime's code have changed.
`service.json`, written by `python -m benchmarks service --output FOLDER/service.json`, is included if it is there.
"""

import argparse
import datetime as dt
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import runtime
from runtime.artifact.folder import open_artifact
from runtime.artifact.manifest import NAME, Manifest
from runtime.files.atomic_file import atomic_write
from training.data.record import RECORD, read_record
from training.reporting.document import write

from ..data.texts_file import TextsFile
from ..errors import BenchmarkError
from ..harness.catalog import LITMUS
from ..harness.environments import PEERS
from ..harness.machine import machine
from ..harness.reports import read_report, to_json
from ..harness.runner import log_progress
from ..measurements import footprint, latency, roofline, throughput
from .page import Measurements, document

FINGERPRINT = "fingerprint"
FOOTPRINT_CALLS, FOOTPRINT_REPEATS = 1000, 5
THROUGHPUT_ROUNDS, THROUGHPUT_TEXTS = 5, 400


def run(args: argparse.Namespace) -> tuple[str, bool]:
    """Measures what is missing and writes `report.html` and `report.md`.

    Returns:
        The verdict, and whether every contender could be measured.

    Raises:
        LitmusError: The artifact cannot be used, or a file cannot be written.
        TrainingError: The checkpoint's data or the file of texts cannot be read.
        BenchmarkError: Litmus cannot be measured on this machine.
    """
    folder: Path = args.output_dir
    read_record(args.checkpoint)
    manifest = open_artifact(args.model).manifest
    folder.mkdir(parents=True, exist_ok=True)
    texts_file = None
    if args.texts_file is not None:
        texts_file = TextsFile(args.texts_file, args.text_column, args.delimiter, args.encoding)
    compared = {name: getattr(args, name) for name in ("rounds", "texts", "batch_sizes", "lengths")}
    works: dict[str, tuple[Mapping[str, Any], Callable[[], dict[str, Any]]]] = {
        "roofline": ({}, lambda: roofline.measure(args.model, threads=args.threads)),
        "footprint": (
            {"calls": FOOTPRINT_CALLS, "repeats": FOOTPRINT_REPEATS},
            lambda: footprint.measure(args.model, calls=FOOTPRINT_CALLS, repeats=FOOTPRINT_REPEATS),
        ),
        "throughput": (
            {"rounds": THROUGHPUT_ROUNDS, "texts": THROUGHPUT_TEXTS},
            lambda: throughput.measure(
                args.model, args.checkpoint, rounds=THROUGHPUT_ROUNDS, texts=THROUGHPUT_TEXTS, threads=args.threads
            ),
        ),
        "latency": (
            compared | {"contenders": args.contenders, "texts_file": _digest(args.texts_file)},
            lambda: latency.measure(
                args.model, args.checkpoint, args.contenders, threads=args.threads, texts_file=texts_file, **compared
            ),
        ),
    }
    if sys.platform != "linux":
        del works["footprint"]
    common = _common(args.model, args.checkpoint, args.threads)
    found = {
        kind: _measured(folder, kind, common | dict(settings), work, restart=args.restart)
        for kind, (settings, work) in works.items()
    }
    if LITMUS not in found["latency"]["results"]:
        reason = found["latency"]["failures"].get(LITMUS, f"pass {LITMUS} to --contenders")
        raise BenchmarkError(f"a report needs measurements of {LITMUS}: {reason}")
    service = folder / "service.json"
    measurements = Measurements(
        found["latency"],
        found["throughput"],
        found.get("footprint"),
        found["roofline"],
        read_report(service, "service") if service.is_file() else None,
        _sizes_mb(manifest, found["latency"]["variant"], args.checkpoint),
        found["latency"]["date"],
        args.hourly_price,
    )
    page = document(measurements, Path(args.model).resolve().name)
    write(page, folder)
    text = f"{page.verdict}\n\nreport.html:  {folder / 'report.html'}\nreport.md:    {folder / 'report.md'}\n"
    return text, not found["latency"]["failures"]


def _measured(
    folder: Path, kind: str, settings: Mapping[str, Any], work: Callable[[], dict[str, Any]], *, restart: bool
) -> dict[str, Any]:
    """Returns the report of a measurement: the one in the folder if it has the same fingerprint, or a new one."""
    path = folder / f"{kind}.json"
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    if path.is_file() and not restart:
        earlier = read_report(path, kind)
        if earlier.get(FINGERPRINT) == fingerprint:
            log_progress(f"{kind}: read from {path}")
            return earlier
        log_progress(f"{kind}: {path} is of another artifact, machine, version or setting; measuring again")
    with atomic_write(path, overwrite=True) as file:
        report = work()
        for name in ("model", "checkpoint", "texts_file"):
            if report["settings"].get(name) is not None:  # a report may be published, the machine's folders should not
                report["settings"][name] = Path(report["settings"][name]).resolve().name
        report |= {"date": dt.datetime.now(dt.UTC).date().isoformat(), FINGERPRINT: fingerprint}
        file.write(to_json(report))
    return report


def _common(model: str, checkpoint: str, threads: int | None) -> dict[str, Any]:
    """Returns what every measurement depends on."""
    info = machine(threads or 0)
    return {
        "model": _digest(str(Path(model) / NAME)),
        "checkpoint": _digest(str(Path(checkpoint) / RECORD)),
        "runtime": _digests(Path(runtime.__file__).parent.rglob("*.py")),
        "peers": _digests(PEERS.glob("*/requirements.txt")),
        **{name: info[name] for name in ("cpu", "cpu_flags", "cpus", "threads", "versions")},
    }


def _digest(path: str | None) -> str | None:
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _digests(paths: Iterable[Path]) -> str:
    """Returns a digest of several files, for example of the code that is measured."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def _sizes_mb(manifest: Manifest, variant: str, checkpoint: str) -> dict[str, float]:
    """Returns the size of the measured variant and of the checkpoint's weights, in MB."""
    file = next(item.file for item in manifest.variants if item.name == variant)
    weights = sum(path.stat().st_size for path in Path(checkpoint).glob("*.safetensors"))
    return {"litmus": manifest.files[file].size_bytes / 1e6, "checkpoint": weights / 1e6}
