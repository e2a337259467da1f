"""Cleaning patterns that take time without bound are found before a text meets them."""

import subprocess
import sys

import pytest

from training.data import backtracking
from training.data.backtracking import EMPTY, FINE, SLOW, hard_texts, sample_of, trial, try_pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"(\w+\s?)+:",
        r"^(\w+\s?)+$",
        r"Note: (\w+\s?)+\.",
        r"([^:]+ ?)+:$",
        r"(\d+-?)+x",
        r"(a|aa)+b",
        r"(?:\s|\n)+x",
        r"(?i)(?:mr|dr)\.? (\w+ ?)+:",
        r"(\w{1,40}\s?){1,40}:",
        r"([[:alpha:]]+ ?)+:",
        r"(\p{L}+\s?)+:",
        "(?:[\u4e00-\u9fa5]+\uff0c?)+\uff1a",
        r"\[(\w+,? ?)*\]",
        r"\((?:[^)]+,?)+\)",
        r"<(?:[^>]+ ?)+>",
        r'"(?:[^"]+ ?)+"',
        r"(?:\t+ ?)+:",
        r"(?:\u200b+ ?)+x",
        r"(?:\x{1F600}+ ?)+x",
    ],
)
def test_patterns_without_bound(pattern: str) -> None:
    """Patterns that take exponential time on a text of a few dozen characters are found to be slow."""
    assert trial(pattern) == SLOW


@pytest.mark.parametrize("pattern", [r"\w+\w+:", r"\w+\s*\w+\s*:", r"[\w\s]*\w+\s*:"])
def test_cubic_patterns(pattern: str) -> None:
    """Patterns that take 64 times as long on a text four times as long are found to be slow."""
    assert trial(pattern) == SLOW


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w+:",
        r"[^:\n]{1,40}:",
        r"(?i)\b(?:doctor|patient|guest_family|guest_clinician)(?:_?\d)?(?::|-\B)",
        r"\s+$",
        r"^\s+|\s+$",
        r"<[^>]+>",
        r"https?://\S+",
        r"\[\*\*.*?\*\*\]",
        r"[\w.+-]+@[\w-]+\.[\w.-]+",
        r"(?:\w+,\s)*\w+:",
        r"\d+(?:\.\d+)*\s*mg",
        r"(?>\w+\s?)+:",
        r"(?<=\d)\s+(?=\d)",
        r"\\",
    ],
)
def test_usual_patterns(pattern: str) -> None:
    """Linear and quadratic patterns pass, also with repeats inside a group that cannot match the same characters."""
    assert trial(pattern) == FINE


@pytest.mark.parametrize("pattern", ["a*", "(x)?", r"\b", "^", "x|", "(?=text 7)"])
def test_patterns_that_match_nothing(pattern: str) -> None:
    """Patterns that match the empty text are found: they make tokenizers panic on some texts."""
    assert trial(pattern) == EMPTY


def test_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Patterns are tested in a subprocess, so that a panic prints nothing here."""
    assert [try_pattern(pattern) for pattern in (r"(\w+\s?)+:", "x*", "x")] == [SLOW, EMPTY, FINE]
    assert capfd.readouterr() == ("", "")


def test_trial_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that exceeds the time limit is stopped, and the pattern does not pass."""

    def endless(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("trial", timeout)

    monkeypatch.setattr(subprocess, "run", endless)
    assert try_pattern("x") == SLOW


def test_trial_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that crashes the subprocess does not pass."""
    died = subprocess.CompletedProcess([], -11, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: died)
    assert try_pattern("x") == SLOW


def test_light_process() -> None:
    """The script starts quickly, because it imports no heavy package but tokenizers."""
    heavy = "[name for name in ('numpy', 'torch', 'transformers', 'onnxruntime', 'training') if name in sys.modules]"
    code = f"import runpy, sys; runpy.run_path({backtracking.__file__!r}); print({heavy})"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sample() -> None:
    """A sample has every alternative and every repeat once, and the characters that a set excludes."""
    sample = sample_of(r"(?i)\bNote(?:s)?: ([^,\n]+ ?)+\.")
    assert sample.text == "Notes: a ."
    assert {sample.text[start:end] for start, end in sample.loops} == {"s", "a", " ", "a "}
    assert {",", "\n"} <= set(sample.stops)


def test_hard_texts_grow() -> None:
    """The long texts repeat the stretch of the short texts four times as often."""
    short, long = list(hard_texts(r"(\w+\s?)+:", 1)), list(hard_texts(r"(\w+\s?)+:", 4))
    assert len(short) == len(long) > 50
    assert all(4 * len(before) > len(after) > 2 * len(before) for before, after in zip(short, long, strict=True))
