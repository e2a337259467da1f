"""Every table with figures in README.md and docs comes from docs/benchmarks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measurements import latency_plot

from .figures import BENCHMARKS, MARK, PAGES, ROOT, written

FIGURE = re.compile(r"(?<![\w.])\d*\.\d+")
PARTS = re.compile(r"(\w+ (?:fp32|int8)) ([\d., and]+)")
OPTIONS = ("argument", "option")  # tables of options have defaults, which other tests compare with the code


def tables(text: str) -> Iterator[tuple[str, str]]:
    """Yields the line above every Markdown table outside code, and the table."""
    for match in re.finditer(
        r"^([^\n]*)\n\n((?:\|[^\n]*\n)+)", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    ):
        yield match[1], match[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_tables_are_those_of_the_reports(page: Path) -> None:
    """Every marked table is what `python -m tests.figures` writes from the JSON."""
    text = page.read_text("utf-8")
    assert written(text) == text


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_tables_with_figures_are_marked(page: Path) -> None:
    """No table with figures stands in a page without a source."""
    for above, table in tables(page.read_text("utf-8")):
        if table.split("|")[1].strip() not in OPTIONS and FIGURE.search(table):
            assert MARK.match(f"{above}\n\n{table}"), table.splitlines()[0]


def test_tables_are_dated_and_used() -> None:
    """Every table says when and how it was measured, and stands in a page."""
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    for name, table in json.loads((BENCHMARKS / "tables.json").read_text("utf-8")).items():
        assert re.match(r"\d{4}-\d\d-\d\d|as ", table["measured"]), name
        assert f"<!-- figures: {name} -->" in pages
        assert all(len(row) == len(table["columns"]) for row in table["rows"]), name


def test_reports_name_no_folders_and_are_small() -> None:
    """Committed reports are below 300 kB and contain no path of a machine."""
    for path in BENCHMARKS.rglob("*"):
        if path.is_file():
            assert path.stat().st_size < 300_000, path
            assert not re.search(r'["( ]/(home|root|work|tmp|Users)/', path.read_text("utf-8")), path


def test_picture_of_the_readme(tmp_path: Path) -> None:
    """The README's picture is drawn from a committed report, and the text for it has the report's medians."""
    report = json.loads((BENCHMARKS / "amd-epyc-minilm/latency.json").read_text("utf-8"))
    lengths = (32, 128, 256)
    latency_plot.save(latency_plot.draw(report, lengths), tmp_path / "latency.svg")
    assert (tmp_path / "latency.svg").read_text("utf-8") == (ROOT / "docs/latency.svg").read_text("utf-8")
    (words,) = re.findall(r"!\[(.*?)\]\(docs/latency\.svg\)", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    found = dict(PARTS.findall(" ".join(words.split())))
    titles = {f"Litmus {report['variant']}": "litmus", "PyTorch fp32": "pytorch-fp32", "Optimum int8": "optimum-int8"}
    for title, name in (titles | {"OpenVINO int8": "openvino-int8"}).items():
        medians = [report["results"][name]["workloads"][f"{length} tokens"]["median_ms"] for length in lengths]
        assert [float(value) for value in FIGURE.findall(found[title])] == [round(median, 1) for median in medians]
