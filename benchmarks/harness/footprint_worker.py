"""What `footprint` runs in fresh processes: the runtime, measured from inside. Imports nothing else. Linux only.

Every function uses the artifact's variant for the CPU and the runtime's default settings.
"""

import os
import random
import time
from pathlib import Path
from typing import Any

from runtime import load
from runtime.engine.settings import Profile

from ..data.sized_texts import SizedTexts

FIRST_TEXT = "The train was late again, and nobody said why."
FIRST_CALLS = 100
SEED = 7
IDLE_TOKENS = 32
IDLE_CALLS = 20
IDLE_S = 1.0


def first_prediction(model: str) -> dict[str, Any]:
    """Loads an artifact, classifies one text and prints its label.

    Args:
        model: Artifact folder.

    Returns:
        Seconds since the process started, in steps of a clock tick (10 ms), and memory in MB.
    """
    print(load(model, provider="cpu").predict(FIRST_TEXT).label, flush=True)
    return {"inside_s": since_start_s(), **memory_mb()}


def memory_growth(model: str, calls: int) -> dict[str, Any]:
    """Classifies texts of random lengths, from one word to as many tokens as the model reads.

    Args:
        model: Artifact folder.
        calls: Calls after the first hundred.

    Returns:
        Memory after the first hundred calls and after all, the variant, and the range of the texts' lengths in tokens.
    """
    classifier = load(model, provider="cpu")
    sized = SizedTexts.of(classifier)
    rng = random.Random(SEED)  # noqa: S311 - lengths, not secrets

    def classify(count: int) -> dict[str, float]:
        for _ in range(count):
            classifier.predict(sized.text(rng.randint(sized.shortest, sized.longest)))
        return memory_mb()

    return {
        "variant": classifier.variant,
        "tokens": [sized.shortest, sized.longest],
        "first": classify(FIRST_CALLS),
        "last": classify(calls),
    }


def idle_cpu_s(model: str, profile: Profile) -> float:
    """Returns the CPU time in seconds that all threads of the process use in the second after a call.

    Args:
        model: Artifact folder.
        profile: Profile to load the artifact with.
    """
    classifier = load(model, provider="cpu", profile=profile)
    text = SizedTexts.of(classifier).text(IDLE_TOKENS)
    for _ in range(IDLE_CALLS):
        classifier.predict(text)
    before = time.process_time()
    time.sleep(IDLE_S)
    return time.process_time() - before


def memory_mb() -> dict[str, float]:
    """Returns the resident memory and its peak so far, in MB (a million bytes). Mapped files count."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return {key: int(fields[name][0]) * 1024 / 1e6 for key, name in (("resident_mb", "VmRSS"), ("peak_mb", "VmHWM"))}


def since_start_s() -> float:
    """Returns the seconds since the kernel started this process."""
    after_name = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    started_s = int(after_name[19]) / os.sysconf("SC_CLK_TCK")  # field 22; the name is the second
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
