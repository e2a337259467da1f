"""The benchmark report as blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.decisions.metrics import TITLES as METRICS
from training.evaluation.intervals import wilson
from training.reporting.document import Block, Bullets, Card, Document, Plot, Section, Table
from training.reporting.svg import to_svg

from ..harness.catalog import BASELINE, LITMUS
from . import plots
from .ratios import process_noise, ratio
from .verdict import situations, verdict

MILLION = 1_000_000
LIBRARIES = (
    "onnxruntime",
    "tokenizers",
    "torch",
    "transformers",
    "optimum-onnx",
    "openvino",
    "nncf",
    "sentence-transformers",
)


@dataclass(frozen=True)
class Measurements:
    """What the report is made of.

    Attributes:
        latency: From `latency.measure`.
        throughput: From `throughput.measure`.
        footprint: From `footprint.measure`; None where it cannot be measured.
        roofline: From `roofline.measure`.
        service: From `service.measure`, if somebody has measured it.
        sizes_mb: Size of the weights of `litmus` and of the checkpoint.
        date: Day of the latency measurement, in ISO form.
        hourly_price: Price of the machine per hour, or None.
    """

    latency: Mapping[str, Any]
    throughput: Mapping[str, Any]
    footprint: Mapping[str, Any] | None
    roofline: Mapping[str, Any]
    service: Mapping[str, Any] | None
    sizes_mb: Mapping[str, float]
    date: str
    hourly_price: float | None


def document(found: Measurements, name: str) -> Document:
    """Returns the report on an artifact of this name."""
    latency = found.latency
    info, settings = latency["machine"], latency["settings"]
    return Document(
        title=f"Benchmark of {name}",
        verdict=verdict(latency, found.sizes_mb),
        cards=_cards(found),
        summary=f"{found.date}. {info['cpu']} ({', '.join(info['cpu_flags'])}), {info['threads']} threads; "
        f"{settings['rounds']} interleaved rounds, one process per contender.",
        sections=[
            Section("Not measured", [Bullets(list(latency["failures"].values()))] if latency["failures"] else []),
            Section("Speed and quality", _speed_and_quality(latency)),
            Section("Latency", _latency(latency)),
            Section("Throughput", _throughput(found)),
            Section("Cost", _cost(found)),
            Section("Memory and start", _memory(found)),
            Section("Arithmetic", _roofline(found.roofline)),
            Section("Service", [] if found.service is None else _service(found.service)),
            Section("Method", _method(latency)),
            Section("Machine and versions", _machine(latency)),
        ],
    )


def _cards(found: Measurements) -> list[Card]:
    latency, results = found.latency, found.latency["results"]
    if not {LITMUS, BASELINE} <= set(results):
        return []
    first = situations(latency)[0]
    speed = ratio(latency, BASELINE, first.workload)
    ours = results[LITMUS]
    median_ms = ours["workloads"][first.workload]["median_ms"]
    rows = latency["settings"]["rows"]
    agreed = wilson(round(ours["label_agreement"] * rows), rows)
    return [
        Card(
            f"{speed.value:.1f}x",
            f"the speed of PyTorch fp32, {first.words}",
            f"95 % interval {speed.low:.1f} to {speed.high:.1f}; {median_ms:.2f} ms per text",
        ),
        Card(
            f"{100 * ours['label_agreement']:.1f} %",
            "label agreement with PyTorch",
            f"95 % interval {100 * agreed.low:.1f} to {100 * agreed.high:.1f} %, {rows} rows of the test split",
        ),
        Card(
            f"{found.sizes_mb['litmus']:.1f} MB",
            f"{latency['variant']} model",
            f"the checkpoint has {found.sizes_mb['checkpoint']:.1f} MB",
        ),
    ]


def _speed_and_quality(latency: Mapping[str, Any]) -> list[Block]:
    results, first = latency["results"], situations(latency)[0].workload
    metrics = list(next(iter(results.values()))["figures"])
    rows = []
    for name in plots.shown(latency):
        result = results[name]
        agreement = f"{100 * result['label_agreement']:.1f} %" if "label_agreement" in result else ""
        figures = (f"{result['figures'][metric]:.4f}" for metric in metrics)
        slower = "" if name == LITMUS or LITMUS not in results else str(ratio(latency, name, first))
        median = f"{result['workloads'][first]['median_ms']:.2f}"
        rows.append((plots.title(name, latency["variant"]), median, slower, *figures, agreement))
    titles = [METRICS[metric] for metric in metrics]
    caption = "Quality by latency of one real text"
    return [
        _plot("speed_and_quality", plots.speed_and_quality(latency), caption),
        Table(
            ("contender", "ms per text", "times as long as Litmus", *titles, "labels as PyTorch"),
            rows,
            f"One real text at a time, median; quality on the {latency['settings']['rows']} rows of the test split. In "
            "brackets, the 95 % interval.",
        ),
    ]


def _latency(latency: Mapping[str, Any]) -> list[Block]:
    results = latency["results"]
    names = plots.shown(latency)
    workloads = [name for name, item in results[names[0]]["workloads"].items() if item["texts"] == 1]
    medians, tails = [], []
    for name in names:
        items = [results[name]["workloads"][workload] for workload in workloads]
        title = plots.title(name, latency["variant"])
        medians.append((title, *(f"{item['median_ms']:.2f}" for item in items)))
        tails.append((title, *(f"{item['p95_ms']:.2f} / {item['p99_ms']:.2f}" for item in items)))
    blocks: list[Block] = [
        _plot("latency_by_length", plots.latency_by_length(latency), "Latency of one text by number of tokens"),
        Table(("contender", *workloads), medians, "Median latency of one text from text to scores, in ms"),
        Table(("contender", *workloads), tails, "95th and 99th percentile, in ms"),
    ]
    if LITMUS in results:
        ratios = [
            (plots.title(name, latency["variant"]), *(str(ratio(latency, name, workload)) for workload in workloads))
            for name in names
            if name != LITMUS
        ]
        caption = "Times as long as Litmus, with the 95 % interval; below 1 the contender is faster"
        blocks.append(Table(("contender", *workloads), ratios, caption))
    return blocks


def _throughput(found: Measurements) -> list[Block]:
    latency, workloads = found.latency, plots.real_workloads(found.latency)
    blocks: list[Block] = []
    if len(workloads) > 1:
        rows = [
            (
                plots.title(name, latency["variant"]),
                *(f"{latency['results'][name]['workloads'][key]['texts_per_s']:.1f}" for key in workloads.values()),
            )
            for name in plots.shown(latency)
        ]
        blocks = [
            _plot("throughput", plots.throughput_by_batch(latency), "Texts per second by batch size"),
            Table(("contender", *(f"batches of {size}" for size in workloads)), rows, "Real texts per second"),
        ]
    report = found.throughput
    settings = report["settings"]
    rows = [
        (WAYS.get(name, name), f"{result['texts_per_s']:.1f}", f"{result['speedup']:.2f}")
        for name, result in report["results"].items()
    ]
    caption = (
        f"Many texts at once: {settings['texts']} texts of the test split, {settings['tokens']} tokens. Padding each "
        f"batch of {settings['batch']} to its longest text makes {100 * settings['padding']:.0f} % of its tokens "
        "padding; predict_many and predict_iter put texts of similar length together."
    )
    return [*blocks, Table(("way", "texts per second", "speed compared with padded batches"), rows, caption)]


WAYS = {
    "padded": "Litmus's session, batches padded in the order of the file",
    "litmus": "Litmus, predict_many",
    "litmus-stream": "Litmus, predict_iter",
    "pipeline": "transformers pipeline",
}


def _cost(found: Measurements) -> list[Block]:
    if found.hourly_price is None:
        return []
    rows = []
    for name in plots.shown(found.latency):
        workloads = found.latency["results"][name]["workloads"]
        rates = {size: workloads[key]["texts_per_s"] for size, key in plots.real_workloads(found.latency).items()}
        size = max(rates, key=rates.__getitem__)
        cost = found.hourly_price / (rates[size] * 3600) * MILLION
        rows.append((plots.title(name, found.latency["variant"]), f"{rates[size]:.1f}", str(size), f"{cost:.3f}"))
    caption = (
        f"Cost of a million texts at {found.hourly_price:g} per hour of this machine, fully used, with the batch size "
        "that is fastest for each contender"
    )
    return [Table(("contender", "texts per second", "batch size", "cost of a million texts"), rows, caption)]


def _memory(found: Measurements) -> list[Block]:
    latency = found.latency
    rows = []
    for name in plots.shown(latency):
        result = latency["results"][name]
        memory = result["memory_mb"] or {}
        cells = [f"{memory[key]:.0f}" if key in memory else "" for key in ("resident", "peak")]
        prepared = "" if result["prepare_s"] is None else f"{result['prepare_s']:.1f}"
        rows.append((plots.title(name, latency["variant"]), *cells, f"{result['start_s']:.2f}", prepared))
    caption = (
        "Memory of the process after the last round and its peak; time from the start of the process to the first "
        "scores; time to convert the checkpoint beforehand"
    )
    blocks: list[Block] = [
        _plot("memory_and_start", plots.memory_and_start(latency), "Peak memory, and time to the first scores"),
        Table(("contender", "memory, MB", "peak, MB", "start, s", "conversion, s"), rows, caption),
    ]
    if found.footprint is not None:
        start, memory = found.footprint["start"], found.footprint["memory"]
        shortest, longest = memory["tokens"]
        blocks.append(
            f"The runtime alone, in fresh processes: first label {start['inside_s']['median']:.3f} s after the start "
            f"of the process, peak memory {start['peak_mb']:.0f} MB; after {found.footprint['settings']['calls']} "
            f"calls of {shortest} to {longest} tokens, memory has changed by {memory['growth_mb']:+.1f} MB."
        )
    return blocks


def _roofline(report: Mapping[str, Any]) -> list[Block]:
    ceilings = report["ceilings_gops"]
    rows = []
    for name, measured in report["results"].items():
        for row in measured:
            slowest = ", ".join(
                f"{operator} {100 * share:.0f} %" for operator, share in list(row["time_share"].items())[:3]
            )
            share = f"{100 * row['gops'] / ceilings[name]:.0f} %"
            figures = (f"{row['giga_operations']:.2f}", f"{row['median_ms']:.2f}", f"{row['gops']:.0f}")
            rows.append((f"Litmus {name}", str(row["tokens"]), *figures, share, slowest))
    columns = ("variant", "tokens", "10⁹ operations", "ms", "10⁹ per second", "of the ceiling", "slowest operators")
    return [
        _plot(
            "roofline", plots.roofline(report), "Arithmetic per second, and the fastest matrix products of this machine"
        ),
        Table(columns, rows),
        "Ceilings, in 10⁹ operations per second: "
        + ", ".join(f"{name} {value:.0f}" for name, value in ceilings.items())
        + ". A ceiling is the fastest matrix product of a transformer's shapes, with PyTorch or onnxruntime, measured "
        "when the machine was least busy. int8 models compute attention and normalization in fp32, so they cannot "
        "reach the int8 ceiling.",
    ]


def _service(report: Mapping[str, Any]) -> list[Block]:
    throughput, overload = report["throughput"], report["overload"]
    rows = [
        (name, f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['cost_ms']:.2f}" if "cost_ms" in row else "")
        for name, row in report["cost"].items()
    ]
    caption = f"One text of {report['settings']['tokens']} tokens at a time over one connection, with one CPU"
    return [
        Table(("", "p50, ms", "p99, ms", "cost over predict, ms"), rows, caption),
        f"With many connections the service reaches {throughput['service']:.0f} texts per second, "
        f"{100 * throughput['share']:.0f} % of predict_many. At twice that rate it accepts {overload['accepted']} "
        f"requests (p99 {overload['accepted_p99_ms']:.0f} ms) and rejects {overload['rejected']} with 429 (p99 "
        f"{overload['rejected_p99_ms']:.1f} ms).",
    ]


def _method(latency: Mapping[str, Any]) -> list[Block]:
    noise = process_noise(latency)
    control = (
        f"Two processes of the same classifier differed by {100 * noise:.1f} % in this run (root mean square over the "
        "workloads); intervals include this."
        if latency["control"]
        else "No control was measured, so the intervals do not include the difference between two processes."
    )
    return [
        Bullets(
            [
                "Every contender runs in a process of its own, with the same number of threads, on the same texts, "
                "from text to scores. It is warmed up, and in every round the contenders take turns in random order.",
                "Ratios are of medians in this run. Intervals resample the rounds. " + control,
                "Two contenders are called too close to tell unless the whole interval lies more than 5 % beyond 1.",
                "Quality comes from the test split, on which nothing was selected. Contenders that quantize calibrate "
                "on texts of the training split.",
            ]
        )
    ]


def _machine(latency: Mapping[str, Any]) -> list[Block]:
    info = latency["machine"]
    versions: dict[str, dict[str, str]] = {}
    for name in plots.shown(latency):
        found = latency["results"][name]["versions"]
        versions[plots.title(name, latency["variant"])] = {key: found[key] for key in LIBRARIES if key in found}
    return [
        Table(
            ("", ""),
            [
                ("CPU", info["cpu"]),
                ("instructions", ", ".join(info["cpu_flags"])),
                ("CPUs of this process", str(info["cpus"])),
                ("threads", str(info["threads"])),
                ("load average before", ", ".join(f"{value:.2f}" for value in info["load_average"])),
                ("system", info["platform"]),
                ("Python", info["versions"]["python"]),
                ("Litmus", info["versions"]["litmus-onnx"]),
            ],
        ),
        Table(
            ("contender", "versions"),
            [(name, ", ".join(f"{key} {value}" for key, value in found.items())) for name, found in versions.items()],
        ),
    ]


def _plot(name: str, figure: Any, caption: str) -> Plot:
    return Plot(name, to_svg(figure, caption), caption)
