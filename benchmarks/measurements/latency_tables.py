"""A latency report as Markdown: latency, throughput by batch size, and quality beside start and memory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.decisions.metrics import TITLES

from ..harness.catalog import BASELINE, LITMUS


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the tables, followed by the reason for each contender that has no results.

    Args:
        report: From `latency.measure`.
    """
    info, results = report["machine"], report["results"]
    lines = [
        f"Latency from text to scores: median (p95) in ms, and speedup over {BASELINE}.",
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['threads']} threads; "
        f"onnxruntime {info['versions']['onnxruntime']}, torch {info['versions']['torch']}; "
        f"{report['settings']['rounds']} interleaved rounds, one process per contender.",
    ]
    if results:
        lines += [*_latencies(results), *_throughputs(results), *_others(results, report["settings"]["rows"])]
    if report["control"]:
        difference = max(max(ratio, 1 / ratio) - 1 for ratio in report["control"].values())
        lines.append(
            f"\nThe same contender twice differs by up to {difference:.1%}: smaller differences mean nothing here."
        )
    for name, speedups in report["litmus_speedup"].items():
        ratios = "; ".join(f"{workload} {ratio:.2f}" for workload, ratio in speedups.items())
        lines.append(f"\nSpeedup of `{LITMUS}` over {name}: {ratios}.")
    extra = report["overhead"]
    lines.append(
        f"\n`predict` adds {extra['overhead_us']:.0f} us to its tokenizer and session called directly: "
        f"{extra['predict_us']:.0f} us instead of {extra['bare_us']:.0f} us for {extra['tokens']} tokens (medians of "
        f"{extra['calls']} calls each, in random order, in one process)."
    )
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _latencies(results: Mapping[str, Any]) -> list[str]:
    workloads = [name for name, figures in _workloads(results).items() if figures["texts"] == 1]
    rows = ([name, *(_latency(result["workloads"][key]) for key in workloads)] for name, result in results.items())
    return _table(["contender", *workloads], rows)


def _latency(figures: Mapping[str, float]) -> str:
    return f"{figures['median_ms']:.2f} ({figures['p95_ms']:.2f}){_speedup(figures)}"


def _throughputs(results: Mapping[str, Any]) -> list[str]:
    """Returns the table of real texts by batch size; none if they were measured one at a time only."""
    workloads = _workloads(results)
    batches = {figures["texts"]: name for name, figures in workloads.items() if figures["texts"] > 1}
    if not batches:
        return []
    sizes = {1: next(iter(workloads))} | batches
    rows = (
        [name, *(_throughput(result["workloads"][key]) for key in sizes.values())] for name, result in results.items()
    )
    return ["", "Throughput by batch size: texts per second.", *_table(["contender", *map(str, sizes)], rows)]


def _throughput(figures: Mapping[str, float]) -> str:
    return f"{figures['texts_per_s']:.1f}{_speedup(figures)}"


def _others(results: Mapping[str, Any], rows: int) -> list[str]:
    """Returns the table of quality, start and memory."""
    metrics = list(next(iter(results.values()))["figures"])
    titles = [TITLES[metric] for metric in metrics]
    header = ["contender", *titles, "label agreement", "prepare, s", "start, s", "memory, MB", "peak, MB"]
    table = []
    for name, result in results.items():
        agreement, prepare_s, memory_mb = (result.get(key) for key in ("label_agreement", "prepare_s", "memory_mb"))
        cells = [name, *(f"{result['figures'][metric]:.4f}" for metric in metrics)]
        cells.append("" if agreement is None else f"{agreement:.2%}")
        cells += ["" if prepare_s is None else f"{prepare_s:.1f}", f"{result['start_s']:.2f}"]
        cells += ["", ""] if memory_mb is None else [f"{memory_mb[key]:.0f}" for key in ("resident", "peak")]
        table.append(cells)
    return [
        "",
        f"Quality on the {rows} rows of the test split, scored one at a time; label agreement with {BASELINE}; start "
        "from the process to the first scores, after the checkpoint was prepared; memory after the last round.",
        *_table(header, table),
    ]


def _workloads(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the workloads of the first contender; all contenders have the same."""
    workloads: dict[str, Any] = next(iter(results.values()))["workloads"]
    return workloads


def _speedup(figures: Mapping[str, float]) -> str:
    return f" **{figures['speedup']:.1f}x**" if "speedup" in figures else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return lines + [f"| {' | '.join(cells)} |" for cells in rows]
