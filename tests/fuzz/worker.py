"""`python -m tests.fuzz.worker KIND ARTIFACT FOLDER SEED SECONDS MOST`: runs cases of one kind in one process.

Writes the number of each case to FOLDER/case before it begins, so that a crash can be traced to it. Prints a JSON
object with the number of cases and the failed ones. Anything on standard error is a failure.
"""

import io
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from runtime import Classifier, LitmusError, TextError, load
from runtime.artifact.manifest import _digest
from runtime.files.records import Layout
from runtime.files.row_reader import read_records
from runtime.predict import main as predict

from ..damage import rewrite
from .damage import damaged_bytes, damaged_json

CANARY = "Zwiebelfisch"  # in every text, never in an error
TEXTS = [
    f"{CANARY} was late again, and nobody said why.",
    f"{CANARY}: blood pressure up (see note): stable " * 3,
    f"\u202e{CANARY} été 漢字 e\u0301 \ud800 \x00 [SEP] 👩‍⚕️",
    CANARY + "x" * 5000,
]
expected: list[npt.NDArray[np.float32]] = []  # logits of the first text by the undamaged artifact
LONGEST = 40  # the first text has fewer tokens
Case = Callable[[Path, random.Random], None]


def manifest(folder: Path, dice: random.Random) -> None:
    """Damages the manifest, which must be rejected or leave the logits unchanged."""
    path = folder / "litmus.json"
    fields = json.loads(path.read_text("utf-8"))
    fields.pop("manifest_sha256")
    fields = damaged_json(fields, dice)
    if isinstance(fields, dict):
        fields["manifest_sha256"] = _digest(fields)
    path.write_text(json.dumps(fields), "utf-8")
    classify(folder)
    with load(folder, provider="cpu", threads=1) as classifier:
        if classifier.manifest.max_length > LONGEST:
            assert np.array_equal(classifier.logits(TEXTS[:1]), expected[0])


def model(folder: Path, dice: random.Random) -> None:
    """Damages the ONNX file, which must be rejected, raise a LitmusError, or give finite scores."""
    path = folder / "onnx/model.onnx"
    path.write_bytes(damaged_bytes(path.read_bytes(), dice))
    rewrite(folder)
    classify(folder)


def tokenizer(folder: Path, dice: random.Random) -> None:
    """Damages the tokenizer, which must be rejected or fail only on the texts that it cannot read."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"].pop("vocab")
    if dice.random() < 0.3:
        content["normalizer"] = {"type": "Sequence", "normalizers": [_step(dice), content["normalizer"]]}
    damaged = damaged_json(content, dice)
    if isinstance(damaged, dict) and isinstance(damaged.get("model"), dict):
        damaged["model"].setdefault("vocab", _damaged_vocabulary(vocabulary, dice))
    path.write_text(json.dumps(damaged), "utf-8")
    rewrite(folder)
    classify(folder)


def file(folder: Path, dice: random.Random) -> None:
    """Damages a file of texts, whose records must be consecutive and whose content must be in no error."""
    rows = [[dice.choice(CELLS) for _ in range(3)] for _ in range(dice.randrange(8))]
    content = "\n".join(",".join(row) for row in [["text", "id", "x"], *rows]).encode("utf-8", "surrogatepass")
    if dice.random() < 0.7:
        content = damaged_bytes(content, dice)
    form = dice.choice(("csv", "tsv", "jsonl", "lines"))
    layout = Layout(form, ["text"], dice.choice((None, "id")) if form != "lines" else None)
    found = list(read_records(io.BufferedReader(io.BytesIO(content)), layout))  # type: ignore[arg-type]
    assert [record.index for record in found] == list(range(len(found)))
    for record in found:
        assert CANARY not in (record.error or "")
        assert record.text.encode("utf-8", "surrogatepass") is not None


CELLS = [
    CANARY,
    f'"{CANARY}"',
    f'"{CANARY} ""x"" y"',
    f'"{CANARY} "hi" you"',
    f'"{CANARY}\nmore"',
    "",
    '"',
    "a,b",
    "\r",
    "é",
]
OPTIONS = (
    *("--input", "--input-format", "--delimiter", "--quoting", "--encoding", "--column-names", "--text-column"),
    *("--id-column", "--output", "--overwrite", "--format", "--with-text", "--top-k", "--threshold", "--windows"),
    *("--explain", "--explain-label", "--provider", "--variant", "--threads", "--profile", "--batch-tokens"),
    *("--quiet", "--info", "--", "--nonsense", "-x"),
)
VALUES = (
    *("0", "1", "-1", "2", "nan", "1e999", "9" * 5000, "", " ", ";", "\\t", '"', "text", "id", "calm", "late"),
    *("in.csv", "in.jsonl", "in.txt", "out.csv", "out.jsonl", "page.html", "csv", "jsonl", "lines", "table"),
    *("true", "false", "utf-16", "cp1252", "nope", "max", "artifact", "cpu", "cuda", "fp32", "int8", "shared"),
    *(CANARY, f"{CANARY} was late", "é漢", "\udcff", "--", "-5"),
)


def options(folder: Path, dice: random.Random) -> None:
    """Runs `predict` with random options; it must end with status 0, 1 or 2 and show no text."""
    argv = ["--model", str(folder)]
    for option in dice.sample(OPTIONS, dice.randrange(1, 6)):
        argv += [option, *dice.choices(VALUES, k=dice.choice((0, 1, 1, 1, 2)))]
    os.chdir(folder.parent)
    rows = f'text,id\n{CANARY},1\n"{CANARY} ""x""",2\n'.encode()
    for name in ("in.csv", "in.jsonl", "in.txt"):
        Path(name).write_bytes(damaged_bytes(rows, dice) if dice.random() < 0.5 else rows)
    standard_input = io.TextIOWrapper(io.BytesIO(rows))
    output, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with mock.patch("sys.stdin", standard_input), redirect_stdout(output), redirect_stderr(errors):
        try:
            status = predict(argv)
        except SystemExit as error:
            status = int(error.code or 0)
    assert status in (0, 1, 2), (argv, status)
    assert CANARY not in errors.getvalue(), argv
    assert "Traceback" not in errors.getvalue(), argv


def _step(dice: random.Random) -> dict[str, Any]:
    pattern = dice.choice((r"(\w+\s?)+:", "a*", r"\s*", r"(a|a)*b", r"[", r"(?i)\bdoctor:", r"(?<=x)y", "(?:)", r"\G"))
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": dice.choice(("", " ", "\ud800", "late"))}


def _damaged_vocabulary(vocabulary: dict[str, int], dice: random.Random) -> dict[str, int]:
    damaged = dict(vocabulary)
    for word in dice.sample(sorted(damaged), dice.choice((0, 0, 1, 3))):
        damaged[word] = dice.choice((dice.randrange(len(damaged)), len(damaged), 10**6, 2**32 - 1))
    return damaged


def classify(folder: Path) -> None:
    """Loads the artifact and classifies the texts; errors must be LitmusErrors that show no text."""
    with load(folder, provider="cpu", threads=1) as classifier:
        for windows in False, True:
            for found in classifier.predict_iter(TEXTS, return_errors=True, windows=windows):
                check_result(found, classifier)


def check_result(found: Any, classifier: Classifier) -> None:
    """Checks that a prediction has finite scores of the labels, and that an error shows no text."""
    if isinstance(found, TextError):
        assert CANARY not in f"{found!r} {found}"
        return
    assert list(found.scores) == list(classifier.labels)
    assert all(np.isfinite(score) and 0 <= score <= 1 for score in found.scores.values())


KINDS: dict[str, Case] = {
    "manifest": manifest,
    "model": model,
    "tokenizer": tokenizer,
    "file": file,
    "options": options,
}


def main(kind: str, artifact: str, folder: str, seed: str, seconds: str, most: str) -> None:
    """Runs cases until the time is over."""
    end, wrong, case = time.monotonic() + float(seconds), [], 0
    work = Path(folder)
    with load(artifact, provider="cpu", threads=1) as classifier:
        expected.append(classifier.logits(TEXTS[:1]))
    while case < int(most) and (time.monotonic() < end or not case):
        (work / "case").write_text(str(case))
        copy = Path(shutil.copytree(artifact, work / "copy"))
        try:
            KINDS[kind](copy, random.Random(f"{kind} {seed} {case}"))
        except LitmusError as error:
            if CANARY in f"{error!r} {error}":
                wrong.append(f"case {case}: the text is in {type(error).__name__}")
        except BaseException:  # a panic is not an Exception
            wrong.append(f"case {case}: {traceback.format_exc()}")
        shutil.rmtree(copy)
        case += 1
    json.dump({"cases": case, "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
