"""Tries a regular expression on texts that are hard for it, in a process of its own: it may fail loudly, or never end.

The engine backtracks: `([a-z]+ ?)+:` splits a run of letters in every possible way before it gives up, so that time
doubles with every letter, until the engine stops with an error. Which texts are hard depends on the expression: for
each of its repeats one that goes on repeating what it matches, and then lacks what has to follow.

Run as a script, this file imports nothing but the standard library and tokenizers.
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

CHARACTERS, LEAST_REPEATS = 40, 4  # of the repeated stretch in a short text
FACTOR = 4  # how much longer it is in a long one
MAX_GROWTH = 32  # from the time of the short text to that of the long one: 16 if it is quadratic, 64 if it is cubic
TRIES = 5
TIME_LIMIT_S = 30  # nothing that passes takes longer than a second
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
    """What a pattern looks like.

    Attributes:
        text: Much like one that it matches, with every alternative and every repeat once.
        loops: Where the repeated stretches of it start and end.
        stops: Characters that one of its sets refuses.
    """

    text: str
    loops: list[tuple[int, int]]
    stops: list[str]


def hard_texts(pattern: str, factor: int) -> Iterator[str]:
    """Yields texts that make a pattern backtrack: what comes before a repeat, its match over and over, then a failure.

    Args:
        pattern: A regular expression in Oniguruma's syntax.
        factor: How many times longer than a short text's the repeated stretch is.
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
            yield f"{before}{stretch}\n"  # what has to follow never comes


def trial(pattern: str) -> int:
    """Tries a pattern here: `FINE`, `SLOW` (it fails, or its time grows faster than quadratically) or `EMPTY`."""
    clean = NormalizerSequence([Replace(Regex(pattern), " "), Lowercase()])
    try:
        for text in (EMPTY_PROBE, sample_of(pattern).text):
            clean.normalize_str(text)
        for short, long in zip(hard_texts(pattern, 1), hard_texts(pattern, FACTOR), strict=True):
            if all(_cpu_s(clean, long) > MAX_GROWTH * _cpu_s(clean, short) for _ in range(TRIES)):
                return SLOW
    except BaseException as error:  # a Rust panic is no Exception
        return SLOW if "limit" in str(error) else EMPTY
    return FINE


def try_pattern(pattern: str) -> int:
    """Tries a pattern in a process of its own, whose stderr nobody sees; returns what `trial` does."""
    line = [sys.executable, "-P", __file__]
    try:
        done = subprocess.run(line, input=pattern.encode(), capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return SLOW
    return SLOW if done.returncode < 0 else done.returncode


def sample_of(pattern: str) -> Sample:
    """Reads a pattern, roughly."""
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
    """Returns characters that an atom might match: the usual ones first, then those that stand in it."""
    if len(atom) == 1:
        return atom
    codes = (code or short or NAMED[letter] for code, short, letter in CODE.findall(atom))
    meant = "".join(chr(int(code, 16)) for code in codes if int(code, 16) <= sys.maxunicode)
    return "aA1 \n.,:-_\t\r\f\v" + atom + meant


def _matches(atom: str, character: str) -> bool:
    """Asks the engine."""
    try:
        return Replace(Regex(atom), "").normalize_str(character) == ""
    except BaseException:  # an anchor, which matches no character
        return False


def _cpu_s(clean: NormalizerSequence, text: str) -> float:
    """Times the CPU, which other processes do not change."""
    started = time.process_time()
    clean.normalize_str(text)
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(trial(sys.stdin.buffer.read().decode()))
