"""Tests a regular expression for catastrophic backtracking, in a subprocess, since it may crash or never finish.

The engine backtracks: `([a-z]+ ?)+:` tries every way to split a run of letters before it gives up, so the time doubles
with every letter until the engine stops with an error. The texts to test on depend on the expression: for each of its
repeats, a text that repeats what the repeat matches many times, and then lacks what has to follow.

As a script, this file imports only the standard library and tokenizers.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from tokenizers import Regex
from tokenizers.normalizers import Lowercase, Replace
from tokenizers.normalizers import Sequence as NormalizerSequence

CHARACTERS, LEAST_REPEATS = 40, 4  # length of the repeated stretch in a short text, and how often it repeats at least
FACTOR = 4  # how many times longer the stretch is in a long text
MAX_GROWTH = 32  # largest ratio of times, long text to short text: quadratic patterns have 16, cubic ones 64
TRIES = 5
TIME_LIMIT_S = 30  # a pattern that passes takes less than a second
FINE, SLOW, EMPTY = 0, 3, 4  # exit statuses of the script
EMPTY_PROBE = "b1 \u00e9\u0411. a"  # patterns such as a* match nothing somewhere in it
UNITS = (*"aA1 \n-.,:_([<\u60a3", "a ", "A ", "1 ", "Ab ", "a, ", "a-")
STOPS = ("", "(!)", "\n")
TOKEN = re.compile(
    r"(?P<open>\(\?(?:[a-z-]*:|<?[=!]|>|<\w+>)|\((?!\?))|(?P<flags>\(\?[^)]*\))|(?P<close>\))"
    r"|(?P<repeat>[*+?]|\{\d*,?\d*\})|(?P<set>\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\])|(?P<mark>[|^$])"
    r"|(?P<escape>\\(?:[pP]\{[^}]*\}|[kg]<[^>]*>|x[0-9a-fA-F]{2}|x\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|.))|(?P<plain>.)",
    re.DOTALL,
)

CODE = re.compile(r"\\x\{([0-9a-fA-F]{1,8})\}|\\(?:x|u)([0-9a-fA-F]{2,4})|\\([trnfv])")
NAMED = {"t": "9", "n": "a", "v": "b", "f": "c", "r": "d"}


class Sample(NamedTuple):
    """A text that resembles the matches of a pattern.

    Attributes:
        text: The text, with every alternative and every repeat once.
        loops: Start and end of the repeated stretches in it.
        stops: Characters that one of the pattern's sets excludes.
    """

    text: str
    loops: list[tuple[int, int]]
    stops: list[str]


def hard_texts(pattern: str, factor: int) -> Iterator[str]:
    """Yields texts that make a pattern backtrack: a prefix, the match of a repeat many times, then a mismatch.

    Args:
        pattern: A regular expression in Oniguruma's syntax.
        factor: How many times longer the repeated stretch is than in a short text.
    """
    sample = sample_of(pattern)
    pumps = {(sample.text[:start], sample.text[start:end], sample.text[end:]) for start, end in sample.loops}
    pumps |= {("", sample.text[:end], sample.text[end:]) for _, end in sample.loops}
    pumps |= {("", unit, sample.text) for unit in UNITS}
    for before, unit, after in sorted(pumps):
        if unit:
            stretch = unit * (factor * max(LEAST_REPEATS, CHARACTERS // len(unit)))
            for stop in (*STOPS, *sample.stops):
                yield f"{before}{stretch}{stop}{after}!"
            yield f"{before}{stretch}\n"  # what has to follow is missing


def trial(pattern: str) -> int:
    """Tests a pattern in this process.

    Returns:
        `FINE`, `SLOW` (the engine gives up, or its time grows faster than quadratically) or `EMPTY` (it matches the
        empty text).
    """
    clean = NormalizerSequence([Replace(Regex(pattern), " "), Lowercase()])
    try:
        for text in (EMPTY_PROBE, sample_of(pattern).text):
            clean.normalize_str(text)
        for short, long in zip(hard_texts(pattern, 1), hard_texts(pattern, FACTOR), strict=True):
            if all(_cpu_s(clean, long) > MAX_GROWTH * _cpu_s(clean, short) for _ in range(TRIES)):
                return SLOW
    except BaseException as error:  # a Rust panic is not an Exception
        return SLOW if "limit" in str(error) else EMPTY
    return FINE


def try_pattern(pattern: str) -> int:
    """Runs `trial` in a subprocess, without its stderr, and returns the result."""
    line = [sys.executable, "-P", __file__]
    try:
        done = subprocess.run(line, input=pattern.encode(), capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return SLOW
    return SLOW if done.returncode < 0 else done.returncode


def sample_of(pattern: str) -> Sample:
    """Derives a sample from a pattern, by a rough parse."""
    sample, opened, start = Sample("", [], []), [0], 0
    text = ""
    for token in TOKEN.finditer(pattern):
        kind, content = token.lastgroup, token[0]
        if kind == "open":
            opened.append(len(text))
        elif kind == "close":
            start = opened.pop() if len(opened) > 1 else 0
        elif kind == "repeat":
            sample.loops.append((start, len(text)))
        elif kind in ("set", "escape", "plain"):
            start = len(text)
            members = [character for character in _candidates(content) if _matches(content, character)]
            text += members[0] if members else ""
            if content.startswith("[^"):
                sample.stops.extend(character for character in _candidates(content) if character not in members)
    return sample._replace(text=text)


def _candidates(atom: str) -> str:
    """Returns characters that an atom might match: the usual ones first, then those written in it."""
    if len(atom) == 1:
        return atom
    codes = (code or short or NAMED[letter] for code, short, letter in CODE.findall(atom))
    meant = "".join(chr(int(code, 16)) for code in codes if int(code, 16) <= sys.maxunicode)
    return "aA1 \n.,:-_\t\r\f\v" + atom + meant


def _matches(atom: str, character: str) -> bool:
    """Returns whether the engine matches a character with an atom."""
    try:
        return Replace(Regex(atom), "").normalize_str(character) == ""
    except BaseException:  # an anchor matches no character
        return False


def _cpu_s(clean: NormalizerSequence, text: str) -> float:
    """Measures CPU time, which does not depend on other processes."""
    started = time.process_time()
    clean.normalize_str(text)
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(trial(sys.stdin.buffer.read().decode()))
