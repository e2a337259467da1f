"""`python -m benchmarks files`: jobs on files (`runtime.predict --output-dir`), compared with the same texts in memory.

Every figure of a job is of its whole command: start, counting and hashing the input, scoring, and writing. That of
`predict_many` leaves out start and reading. Texts of a file are repeated with unique ids, and none is looked up.

    python -m benchmarks files --model build/artifact --texts_file notes.csv --text_column note --rows 1000000
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.artifact.folder import open_artifact
from runtime.engine.cpus import available_cpus

from ..data.texts_file import TextsFile
from ..errors import BenchmarkError
from ..harness import files_worker, isolated
from ..harness.machine import machine
from ..harness.runner import log_progress

SHORT_TEXTS = 1000  # different ones in the files whose memory is compared; repeated texts are looked up there
MEMORY_GROWTH = 10  # times as many rows
PARTS = 20  # of a job, so that no process is idle for long at the end
TITLES = {
    "predict_many": "`predict_many`, texts in memory",
    "tokenizer_and_session": "its tokenizer and session alone",
    "jsonl": "CSV to JSON Lines",
    "parquet": "Parquet to Parquet",
    "workers": "CSV to JSON Lines, `--workers {workers}`",
    "ray": "CSV to JSON Lines, `--ray --workers {workers}`",
}


def measure(
    model: str, texts_file: TextsFile, *, rows: int, rounds: int, workers: int, ray: bool, memory_rows: int
) -> dict[str, Any]:
    """Measures jobs and their alternatives, each in processes of its own, in interleaved rounds.

    Args:
        model: Artifact folder.
        texts_file: Texts to repeat.
        rows: Number of rows.
        rounds: Number of rounds.
        workers: Number of processes, and of actors.
        ray: Whether to measure Ray as well.
        memory_rows: Number of rows of the smaller of two files of repeated short texts, whose peak memory is compared;
            0 for no comparison.

    Returns:
        The report, ready for JSON: rows per second, CPU time in us per row, peak memory in MB.

    Raises:
        ArtifactError: The artifact is damaged.
        BenchmarkError: A job failed.
        DataError: The texts cannot be read.
    """
    open_artifact(model)
    model = str(Path(model).resolve())
    texts = texts_file.sample(rows)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        source = f"{folder}/notes.csv"
        files_worker.write_csv(source, texts, rows)
        parquet = f"{folder}/notes.parquet"
        _to_parquet(source, parquet)
        works: dict[str, Callable[[], dict[str, Any]]] = {
            "predict_many": lambda: _in_memory(files_worker.predict_many, model, source),
            "tokenizer_and_session": lambda: _in_memory(files_worker.tokenizer_and_session, model, source),
            "jsonl": lambda: _job(model, source, folder, rows, "--no-dedupe"),
            "parquet": lambda: _job(model, parquet, folder, rows, "--no-dedupe", "--format", "parquet"),
            "workers": lambda: _job(model, source, folder, rows, "--no-dedupe", "--workers", str(workers)),
        }
        if ray:
            works["ray"] = lambda: _on_ray(model, source, folder, rows, "--no-dedupe", "--workers", str(workers))
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in works}
        for number in range(rounds):
            log_progress(f"round {number + 1} of {rounds}")
            for name, work in works.items():
                found[name].append(work())
        memory = _memory(model, texts, folder, memory_rows) if memory_rows else None
    return {
        "kind": "files",
        "machine": machine(available_cpus()),
        "settings": {
            "model": Path(model).name,
            "texts": texts_file.name,
            "rows": rows,
            "rounds": rounds,
            "workers": workers,
        },
        "results": found,
        "memory": memory,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as Markdown tables."""
    info, settings, results = report["machine"], report["settings"], report["results"]
    middle = {
        name: {key: statistics.median(item[key] for item in runs) for key in runs[0]} for name, runs in results.items()
    }
    core_us = middle["tokenizer_and_session"]["cpu_us_per_row"]
    lines = [
        f"{settings['rows']:,} rows; median of {settings['rounds']} interleaved rounds, each in processes of its own.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['cpus']} CPUs; "
        f"onnxruntime {info['versions']['onnxruntime']}.",
        "",
        "| | rows per second | of `predict_many` | CPU time per row | outside tokenizer and session | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, item in middle.items():
        ratios = [
            run["rows_per_s"] / base["rows_per_s"]
            for run, base in zip(results[name], results["predict_many"], strict=True)
        ]
        cells = [
            TITLES[name].format(**settings),
            f"{item['rows_per_s']:,.0f}",
            f"{statistics.median(ratios):.1%} ({min(ratios):.1%} to {max(ratios):.1%})",
            *_costs(item, None if name == "workers" else core_us),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if report["memory"] is not None:
        lines += ["", "| rows of short texts, repeated | peak memory of a job |", "|---|---|"]
        lines += [f"| {item['rows']:,} | {item['peak_mb']:.1f} MB |" for item in report["memory"]]
    return "\n".join(lines) + "\n"


def _costs(item: Mapping[str, float], core_us: float | None) -> Sequence[str]:
    """Returns CPU time, its share outside tokenizer and session, and peak memory, where they are known.

    Args:
        item: The figures of a contender.
        core_us: CPU time per row of tokenizer and session alone; None if that has another number of threads.
    """
    if "cpu_us_per_row" not in item:
        return ("", "", "")
    cpu_us = item["cpu_us_per_row"]
    share = "" if core_us is None else f"{1 - core_us / cpu_us:.1%}"
    return (f"{cpu_us:.0f} us", share, f"{item['peak_mb']:.0f} MB")


def _in_memory(function: Callable[..., Any], model: str, source: str) -> dict[str, Any]:
    result: dict[str, Any]
    result, _ = isolated.run_in_subprocess(function, model=model, path=source, threads=None)
    return result


def _job(model: str, source: str, folder: str, rows: int, *options: str) -> dict[str, Any]:
    """Runs a job in a new process; peak memory is that of its largest process."""
    output = f"{folder}/out"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "runtime.predict", "--model", model, "--provider", "cpu", "--quiet"]
    parts = ["--rows-per-part", str(max(1, rows // PARTS))]
    arguments = [*command, "--input", source, "--output-dir", output, *parts, *options]
    found, _ = isolated.run_in_subprocess(files_worker.run_command, command=arguments)
    if found["status"]:
        raise BenchmarkError(f"the job failed (exit status {found['status']}); see its message above")
    return {
        "rows_per_s": rows / found["elapsed_s"],
        "cpu_us_per_row": found["cpu_s"] / rows * 1e6,
        "peak_mb": found["peak_mb"],
    }


def _on_ray(*arguments: Any) -> dict[str, Any]:
    """Runs a job on Ray, whose processes are not those of the command, so that only its speed is known."""
    return {"rows_per_s": _job(*arguments, "--ray")["rows_per_s"]}


def _memory(model: str, texts: Sequence[str], folder: str, rows: int) -> list[dict[str, Any]]:
    """Returns the peak memory of jobs on two files, of which one has ten times as many rows."""
    found = []
    for count in (rows, MEMORY_GROWTH * rows):
        log_progress(f"memory of {count:,} rows")
        source = f"{folder}/short.csv"
        files_worker.write_csv(source, [text[:40] for text in texts[:SHORT_TEXTS]], count)
        found.append({"rows": count, "peak_mb": _job(model, source, folder, count, "--top-k", "1")["peak_mb"]})
    return found


def _to_parquet(source: str, target: str) -> None:
    import pyarrow.csv  # noqa: PLC0415 - only this measurement needs it
    import pyarrow.parquet  # noqa: PLC0415 - as above

    pyarrow.parquet.write_table(pyarrow.csv.read_csv(source), target)
