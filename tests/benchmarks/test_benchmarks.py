"""`latency`, `quality` and `demo` in real processes, and how they handle contenders and inputs that fail."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers

from benchmarks.__main__ import main, to_json
from benchmarks.arguments import LENGTHS, parse_args
from benchmarks.contenders import pytorch
from benchmarks.data.texts_file import TextsFile
from benchmarks.harness.catalog import CONTENDERS
from benchmarks.harness.environments import PEERS, ROOT
from benchmarks.harness.protocol import LoadRequest, scores_from
from benchmarks.harness.runner import Contender, Measured, run_interleaved
from benchmarks.measurements.latency import _decided, _fixed_lengths, _real_texts
from runtime import load
from training.decisions.learning import Decisions

from ..models import MAX_LENGTH

pytestmark = pytest.mark.slow


class Measurement(NamedTuple):
    """What a command of the benchmarks wrote and printed."""

    path: Path
    report: dict[str, Any]
    table: str


def measure(command: str, *arguments: str) -> Measurement:
    """Runs a command that ends with `--output FILE`."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([command, *arguments]) == 0
    path = Path(arguments[-1])
    return Measurement(path, json.loads(path.read_text()), printed.getvalue())


OWN = [name for name, entry in CONTENDERS.items() if entry.peer is None and name != "pytorch-compile"]
PEERS_BY_NAME = {name: entry for name, entry in CONTENDERS.items() if entry.peer}


@pytest.fixture(scope="module")
def latency(trained: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    """The latency of every contender of Litmus's own environment that needs no compiler."""
    checkpoint, artifact = trained
    where = ["--model", os.path.relpath(artifact), "--checkpoint", os.path.relpath(checkpoint)]
    arguments = ["--contenders", *OWN, "--rounds", "2", "--texts", "5", "--threads", "1", "--batch_sizes", "1", "2"]
    output = tmp_path_factory.mktemp("latency") / "reports/latency.json"
    return measure("latency", *where, *arguments, "--output", str(output))


@pytest.fixture(scope="module")
def quality(trained: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    """The quality of the artifact."""
    checkpoint, artifact = trained
    output = tmp_path_factory.mktemp("quality") / "quality.json"
    return measure("quality", "--model", artifact, "--checkpoint", checkpoint, "--output", str(output))


def test_latency(latency: Measurement) -> None:
    """Every contender of Litmus's own environment is measured, agrees with PyTorch and is in the table."""
    names, report, table = OWN, latency.report, latency.table
    assert list(report["results"]) == names
    assert report["failures"] == {}
    assert report["machine"]["threads"] == 1
    assert report["results"]["pipeline"]["versions"]["transformers"] == transformers.__version__
    for name in names:
        assert re.search(rf"^\| {name} \|", table, re.MULTILINE)
        result = report["results"][name]
        assert result["prepare_s"] is None
        assert result["start_s"] > 0
        assert result["workloads"]["real texts"]["runs"] == 2 * 5
        assert [len(times) for times in result["workloads"]["real texts"]["rounds_ms"]] == [5, 5]
        sizes = {workload: figures["texts"] for workload, figures in result["workloads"].items()}
        assert sizes == {key: 2 if key == "batches of 2 test texts" else 1 for key in sizes}
        for figures in result["workloads"].values():
            assert 0 < figures["median_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
            times = [np.mean(times) / figures["texts"] for times in figures["rounds_ms"]]
            assert figures["texts_per_s"] == pytest.approx(np.median([1000 / ms for ms in times]), rel=1e-3)
    baseline = report["results"]["pytorch-fp32"]
    for workload, figures in report["results"]["litmus"]["workloads"].items():
        ratio = baseline["workloads"][workload]["median_ms"] / figures["median_ms"]
        assert figures["speedup"] == pytest.approx(ratio)
    assert report["results"]["litmus-fp32"]["max_score_difference"] < 1e-4
    assert report["results"]["litmus"]["max_score_difference"] < 0.1
    assert report["results"]["litmus"]["label_agreement"] > 0.9
    other, litmus = (report["results"][name]["workloads"]["real texts"] for name in ("pipeline", "litmus"))
    ratio = report["litmus_speedup"]["pipeline"]["real texts"]
    assert ratio == pytest.approx(other["median_ms"] / litmus["median_ms"])
    assert list(report["litmus_speedup"]) == ["pipeline"]
    assert f"Speedup of `litmus` over pipeline: real texts {ratio:.2f}; batches of 2 test texts " in table
    control, litmus = (report["results"][name]["workloads"] for name in ("litmus-control", "litmus"))
    expected = {key: control[key]["median_ms"] / litmus[key]["median_ms"] for key in litmus}
    assert report["control"] == pytest.approx(expected)
    assert "The same contender twice differs by up to " in table
    assert report["overhead"]["calls"] >= 1000
    assert (
        f"`predict` adds {report['overhead']['overhead_us']:.0f} us to its tokenizer and session called directly"
        in table
    )


def test_latency_has_the_quality_of_every_contender(latency: Measurement, quality: Measurement) -> None:
    """The figures of the whole test split are those of `quality`, whatever texts were timed."""
    results, others = latency.report["results"], quality.report["results"]
    assert latency.report["settings"]["rows"] == quality.report["settings"]["rows"] == 114
    for name in ("pytorch-fp32", "litmus-fp32", "litmus"):
        assert results[name]["figures"] == others[name]["figures"]
    assert results["litmus"]["label_agreement"] == others["litmus"]["label_agreement"]
    assert results["pipeline"]["label_agreement"] == 1


def test_scores_are_decided_with_the_checkpoints_parameters() -> None:
    """The temperature divides the logits behind the scores, and each label needs its own threshold."""
    data: Any = SimpleNamespace(task="multi_label")
    measured: Any = {"one": SimpleNamespace(scores=[[0.6, 0.6, 1.0]])}  # with a temperature of 2: 0.55, 0.55 and 1
    found = _decided(measured, data, Decisions(2.0, (0.54, 0.56, 0.9)))
    assert found["one"].tolist() == [[1, 0, 1]]


def test_reports_have_lists_of_numbers_on_one_line() -> None:
    """A report of 12 contenders, 8 workloads and 7 rounds of 40 texts stays below 300 kB; other lists are as usual."""
    rounds = [[12.34] * 40] * 7
    report = {f"contender {a}": {f"workload {b}": {"rounds_ms": rounds} for b in range(8)} for a in range(12)}
    assert json.loads(to_json(report)) == report
    assert len(to_json(report)) < 300_000
    assert to_json({"a": [1, -2.5e-7], "b": ["[1,\n2]", "x"], "c": []}) == (
        '{\n  "a": [1, -2.5e-07],\n  "b": [\n    "[1,\\n2]",\n    "x"\n  ],\n  "c": []\n}\n'
    )


def test_quality(trained: tuple[str, str], quality: Measurement) -> None:
    """The artifact agrees with PyTorch, and PyTorch's metrics equal those that training recorded."""
    report = quality.report
    recorded = json.loads((Path(trained[0]) / "training.json").read_text())["metrics"]["test"]
    assert report["settings"]["rows"] == 114
    results = report["results"]
    assert results["pytorch-fp32"]["figures"]["accuracy"] == pytest.approx(recorded["accuracy"])
    assert results["litmus-fp32"]["figures"] == results["pytorch-fp32"]["figures"]
    assert results["litmus-fp32"]["label_agreement"] == 1
    assert results["litmus-fp32"]["max_logit_difference"] < 1e-4
    assert results["litmus"]["variant"] == "int8"
    assert results["litmus"]["label_agreement"] > 0.9
    assert 1e-4 < results["litmus"]["max_logit_difference"] < 0.5
    assert re.search(r"^\| litmus \| int8 \|", quality.table, re.MULTILINE)


@pytest.mark.parametrize("old", [None, "earlier report"])
def test_failed_measurement_leaves_the_output_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str | None
) -> None:
    """A measurement that fails neither replaces an earlier report nor leaves an empty file."""
    output = tmp_path / "quality.json"
    if old is not None:
        output.write_text(old)
    where = ["--model", str(tmp_path / "none"), "--checkpoint", str(tmp_path / "none")]
    assert main(["quality", *where, "--output", str(output)]) == 1
    assert "error: " in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({} if old is None else {output.name: old})


def test_demo_summary(
    latency: Measurement, quality: Measurement, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo's table has both contenders, the reference model, the artifact and the command to try next."""
    artifact = quality.report["settings"]["model"]
    assert main(["demo", "--latency", str(latency.path), "--quality", str(quality.path)]) == 0
    table = capsys.readouterr().out
    for expected in ("| PyTorch |", "| Litmus int8 |", "| logistic regression on the raw measurements | 0.9", artifact):
        assert expected in table
    assert f"python -m runtime.predict --model {artifact}" in table
    other = tmp_path / "latency.json"
    other.write_text(latency.path.read_text().replace('"real texts"', '"real texts of a/b.csv"'))
    assert main(["demo", "--latency", str(other), "--quality", str(quality.path)]) == 0
    assert capsys.readouterr().out == table


def test_latency_on_a_file(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The texts of a file replace those of the test split, and table and report name the file."""
    checkpoint, artifact = trained
    path, output = tmp_path / "other" / "texts.jsonl", tmp_path / "latency.json"
    path.parent.mkdir()
    path.write_text('{"id": 1, "words": "late again"}\n{"id": 2, "words": "never late"}\n')
    where = ["--model", artifact, "--checkpoint", checkpoint, "--output", str(output)]
    arguments = ["--contenders", "litmus", "--rounds", "2", "--texts", "5"]
    assert main(["latency", *where, *arguments, "--texts_file", str(path), "--text_column", "words"]) == 0
    report = json.loads(output.read_text())
    assert report["settings"] | {"texts": 2, "texts_file": str(path)} == report["settings"]
    assert report["results"]["litmus"]["workloads"]["real texts of other/texts.jsonl"]["runs"] == 2 * 2
    assert report["litmus_speedup"] == {}
    assert "| real texts of other/texts.jsonl |" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "value"), [("--texts_file", "texts.csv"), ("--text_column", "text")])
def test_a_file_needs_its_column(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One of the two options without the other is a usage error."""
    with pytest.raises(SystemExit, match="2"):
        main(["latency", "--model", "x", "--checkpoint", "x", option, value])
    assert "pass both --texts_file and --text_column, or neither" in capsys.readouterr().err


@pytest.mark.registry
def test_peers(trained: tuple[str, str]) -> None:
    """Every peer prepares the checkpoint, runs single texts and batches, and has PyTorch's scores in its precision."""
    measured, failures = measure_short_text(trained, ["pytorch-fp32", *PEERS_BY_NAME], rounds=1)
    assert failures == {}
    scores = {name: np.array(result.scores) for name, result in measured.items()}
    for name in PEERS_BY_NAME:
        assert measured[name].prepare_s is not None
        np.testing.assert_allclose(
            scores[name], scores["pytorch-fp32"], atol=1e-5 if CONTENDERS[name].option in ("fp32", "f32") else 0.1
        )
        batch, single = measured[name].latencies_ms["a batch"], measured[name].latencies_ms["real texts"]
        assert len(batch) == len(single) == 1
    np.testing.assert_allclose(scores["optimum-int8-pipeline"], scores["optimum-int8"], atol=1e-6)


def measure_short_text(
    trained: tuple[str, str], names: list[str], *, rounds: int
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Measures contenders on short texts."""
    checkpoint, artifact = trained
    return run_interleaved(
        {name: CONTENDERS[name] for name in names},
        {"real texts": [["late"]], "a batch": [["late", "never late"]]},
        rounds=rounds,
        model=artifact,
        checkpoint=checkpoint,
        threads=1,
        calibration=["late", "late again", "never"],
        scored=["late", "late again and again", "nobody said why"],
    )


def test_a_contender_that_fails_does_not_stop_the_others(
    trained: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contender that cannot be loaded is reported, and the others are measured."""
    entry = CONTENDERS["litmus"].__class__("benchmarks.contenders.absent")
    monkeypatch.setitem(CONTENDERS, "absent", entry)
    measured, failures = measure_short_text(trained, ["absent", "litmus"], rounds=1)
    assert list(measured) == ["litmus"]
    assert "absent (benchmarks.contenders.absent): its process ended" in failures["absent"]


def test_a_contender_whose_process_ends_midway(trained: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A contender whose process ends is reported and left out, and the others keep their figures."""
    original = Contender.time
    calls = []

    def die_late(contender: Contender, batches: list[list[str]]) -> list[float]:
        calls.append(contender.name)
        if contender.name == "pipeline" and calls.count("pipeline") == 5:  # in the second round
            contender._process.kill()
        return original(contender, batches)

    monkeypatch.setattr(Contender, "time", die_late)
    measured, failures = measure_short_text(trained, ["pipeline", "litmus"], rounds=3)
    assert {name: result.latencies_ms.keys() for name, result in measured.items()} == {
        "litmus": {"real texts", "a batch"}
    }
    assert [len(rounds) for rounds in measured["litmus"].latencies_ms.values()] == [3, 3]
    assert "pipeline (benchmarks.contenders.pipeline): its process ended" in failures["pipeline"]


def test_compiled_pytorch_without_a_compiler(trained: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C++ compiler, compiled PyTorch is left out for that reason, and the others are measured."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    measured, failures = measure_short_text(trained, ["pytorch-compile", "litmus"], rounds=1)
    assert list(measured) == ["litmus"]
    assert failures["pytorch-compile"] == (
        "pytorch-compile: torch.compile needs a C++ compiler, but no-such-compiler was not found; install it or set CXX"
    )


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_pytorch(trained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled PyTorch gives the scores of eager mode, and after one text and one batch no length compiles anew."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # `load` sets it
    checkpoint, artifact = trained
    eager, compiled = (
        pytorch.load(LoadRequest(artifact, checkpoint, 1, option, [], str(tmp_path)))
        for option in ("float32", "float32 cpu compile")
    )
    batches = [["late"], ["late", "late again"]]
    for batch in batches:
        compiled(batch)
    with torch.compiler.set_stance("fail_on_recompile"):
        for batch in (["late again and again"], ["late " * 30], ["late", "late again", "late " * 20]):
            np.testing.assert_allclose(compiled(batch), eager(batch), atol=1e-5)


def test_other_labels(trained: tuple[str, str], artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An artifact with other labels than the checkpoint's data set is rejected."""
    for command in ("quality", "latency", "throughput"):
        assert main([command, "--model", str(artifact), "--checkpoint", trained[0]]) == 1
        assert "has other labels than the checkpoint's data set" in capsys.readouterr().err


def test_fixed_lengths_are_exact(trained: tuple[str, str]) -> None:
    """Every text of a workload "32 tokens" has 32 tokens, and none is longer than the model reads."""
    classifier = load(trained[1], provider="cpu")
    workloads = _fixed_lengths(classifier, LENGTHS)
    for name, batches in workloads.items():
        for (text,) in batches:
            prediction = classifier.predict(text)
            assert name == f"{prediction.n_tokens} tokens"
            assert not prediction.truncated
    assert f"{MAX_LENGTH} tokens" in workloads
    assert list(_fixed_lengths(classifier, [9, 1, 9])) == ["3 tokens", "9 tokens"]


def test_batches_are_of_the_same_texts() -> None:
    """Batches have the single texts in their order, and the last one starts over, so that all of them are full."""
    assert _real_texts(["a", "b", "c"], [4, 1, 2], None) == {
        "real texts": [["a"], ["b"], ["c"]],
        "batches of 2 test texts": [["a", "b"], ["c", "a"]],
        "batches of 4 test texts": [["a", "b", "c", "a"]],
    }
    assert list(_real_texts(["a"], [8], TextsFile("x/y.csv", "text"))) == [
        "real texts of x/y.csv",
        "batches of 8 texts of x/y.csv",
    ]


def test_changed_data_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data set that has changed since the training is rejected, as its test split may differ."""
    record = {"data_arguments": {"dataset": "wisconsin"}, "data": {"sha256": "0", "files": []}}
    (tmp_path / "training.json").write_text(json.dumps(record))
    assert main(["quality", "--model", str(tmp_path), "--checkpoint", str(tmp_path)]) == 1
    assert "has changed since the training" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "{}", "no json", '{"kind": "quality"}'])
def test_summary_of_an_unusable_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    """A report that is missing, not JSON or of another kind is an error of one line."""
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    assert main(["demo", "--latency", str(path), "--quality", str(path)]) == 1
    assert "is not a report" in (error := capsys.readouterr().err) or "report of another kind" in error


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("latency", ["--rounds", "--texts", "--threads", "--batch_sizes", "--lengths"]),
        ("throughput", ["--rounds", "--texts", "--threads"]),
        ("footprint", ["--calls", "--repeats"]),
    ],
)
def test_numbers_below_one(command: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A number below one is a usage error."""
    where = ["--model", "x"] if command == "footprint" else ["--model", "x", "--checkpoint", "x"]
    for option in options:
        with pytest.raises(SystemExit, match="2"):
            main([command, *where, option, "0"])
        assert f"{option}: expected a whole number of 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["[]", "{}", "no json", '{"data_arguments": {"unknown": 1}, "data": {"sha256": ""}}']
)
def test_damaged_record(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """A damaged record is an error of one line and exit status 1."""
    (tmp_path / "training.json").write_text(content)
    assert main(["quality", "--model", "x", "--checkpoint", str(tmp_path)]) == 1
    assert "was not written by `python -m training`, or is damaged" in capsys.readouterr().err


def test_missing_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing record is an error of one line and exit status 1."""
    assert main(["latency", "--model", "x", "--checkpoint", str(tmp_path)]) == 1
    assert "has no training.json" in capsys.readouterr().err


def test_scores_from_logits() -> None:
    """Logits become scores by softmax or sigmoid, and large logits do not overflow."""
    assert scores_from([[1000.0, 1000.0]], multi_label=False) == [[0.5, 0.5]]
    assert scores_from([[0.0, -800.0]], multi_label=True)[0] == pytest.approx([0.5, 0])


def test_worker_needs_only_the_standard_library() -> None:
    """The worker imports only the standard library, because peers run it in their own environment."""
    code = (
        "import sys, benchmarks.harness.worker\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'__main__'}))"
    )
    line = [sys.executable, "-S", "-c", code]
    printed = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.strip() == "['benchmarks']"


def test_control_has_to_be_requested() -> None:
    """All contenders but the control are measured by default."""
    args = parse_args(["latency", "--model", "x", "--checkpoint", "x"])
    assert args.contenders == [name for name in CONTENDERS if name != "litmus-control"]


@pytest.mark.parametrize("name", PEERS_BY_NAME)
def test_peers_are_pinned(name: str) -> None:
    """Every peer pins its versions, so that its figures can be reproduced."""
    lines = (PEERS / str(CONTENDERS[name].peer) / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"torch", "transformers"} <= set(pinned)
