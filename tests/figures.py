"""The tables with figures in README.md and docs, written from the JSON in docs/benchmarks.

`python -m tests.figures` writes them; `test_figures.py` compares them. In a page, a table stands under a line such as
`<!-- figures: training-results -->`, the name of a table in docs/benchmarks/tables.json, or
`<!-- figures: amd-epyc-minilm/latency.json lengths -->`, a part of a latency report.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measurements.latency_plot import TITLES

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "docs" / "benchmarks"
PAGES = (ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "experiments.md"))
MARK = re.compile(r"^<!-- figures: (.*) -->\n\n((?:\|.*\n)*)", re.MULTILINE)


def written(page: str) -> str:
    """Returns a page with the tables of its marks."""
    return MARK.sub(lambda match: f"<!-- figures: {match[1]} -->\n\n{table(match[1])}", page)


def table(mark: str) -> str:
    """Returns the Markdown table that a mark names."""
    name, _, part = mark.partition(" ")
    if part:
        report = json.loads((BENCHMARKS / name).read_text("utf-8"))
        return "".join(f"{line}\n" for line in _latency(report, part))
    found = json.loads((BENCHMARKS / "tables.json").read_text("utf-8"))[name]
    return "".join(f"{line}\n" for line in _lines(found["columns"], found["rows"]))


def _latency(report: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]], part: str) -> Iterator[str]:
    results = {name: result for name, result in report["results"].items() if name != "litmus-control"}
    workloads = next(iter(results.values()))["workloads"]
    if part == "lengths":
        chosen = [name for name, item in workloads.items() if item["texts"] == 1]
    else:
        chosen = [name for name, item in workloads.items() if not name.endswith("tokens")]
    rows = []
    for name, result in results.items():
        title = f"**Litmus {report['variant']}**" if name == "litmus" else TITLES[name]
        items = [result["workloads"][key] for key in chosen]
        if part == "lengths":
            rows.append([title, *(f"{item['median_ms']:.2f} ({item['p95_ms']:.2f})" for item in items)])
        else:
            rows.append([title, *(f"{item['texts_per_s']:.1f}" for item in items)])
    return _lines(["contender", *chosen], rows)


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(columns)
    yield "|---" * len(columns) + "|"
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(written(path.read_text("utf-8")), "utf-8")
