"""`python -m benchmarks tune`: the settings of `load` that are fastest for your texts on this machine.

Numbers of threads, profiles and providers are compared on one text at a time, then sizes of batches on all texts at
once, with the threads that won. Each setting runs in its own process, and the settings take turns until the time is up.
A setting is recommended instead of the default only if it is at least 5 % faster in the same rounds.

    python -m benchmarks tune --model build/artifact --texts_file notes.csv --text_column dialogue
"""

import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from runtime import load
from runtime.engine.cpus import available_cpus
from runtime.engine.ort import onnxruntime
from runtime.engine.providers import PROVIDERS
from runtime.engine.settings import Profile
from runtime.scheduling.batching import BATCH_TOKENS

from ..data.texts_file import TextsFile
from ..errors import BenchmarkError
from ..harness.catalog import ContenderSpec
from ..harness.machine import machine
from ..harness.protocol import LoadRequest
from ..harness.runner import Batch, Contender, ContenderError, log_progress, shuffled

SECONDS = {"one": 50.0, "many": 30.0}  # for the two comparisons; loading comes on top
TURN_S = 0.5  # texts of a turn are chosen so that the default needs about this long
MIN_ROUNDS = 3
WORTH = 1.05  # speedup from which another setting than the default is recommended
FACTORS = (0.5, 1, 2, 4)  # of the default size of a batch


@dataclass
class Setting:
    """Arguments of `load`, and what was measured with them.

    Attributes:
        options: The arguments.
        seconds: Time of each turn.
    """

    options: Mapping[str, Any]
    seconds: list[float] = field(default_factory=list)


def measure(model: str, texts_file: TextsFile, *, texts: int) -> dict[str, Any]:
    """Compares settings on real texts, in about two minutes.

    Args:
        model: Artifact folder.
        texts_file: File of texts such as the classifier will get.
        texts: How many of them to draw.

    Returns:
        The report, ready for JSON: machine, settings, speed of each setting, the recommended arguments, failures.

    Raises:
        DataError: The file cannot be read.
        ArtifactError: The artifact cannot be loaded.
        BenchmarkError: No setting could be measured.
    """
    sample = texts_file.sample(texts)
    with load(model) as classifier:
        provider = classifier.provider
        tokens = [prediction.n_tokens for prediction in classifier.predict_many(sample)]
        default = {"provider": provider, "threads": classifier.threads, "profile": "latency"}
    path = str(Path(model).resolve())
    failures: dict[str, str] = {}
    log_progress("one text at a time ...")
    one = take_turns(path, _settings_for_one(default), [[text] for text in sample], SECONDS["one"], failures)
    best = _best(one)
    log_progress("many texts at once ...")
    many = take_turns(path, batch_sizes(best.options), [sample], SECONDS["many"], failures)
    return {
        "kind": "tune",
        "machine": machine(available_cpus()),
        "settings": {
            "model": model,
            "texts_file": texts_file.path,
            "texts": len(sample),
            "median_tokens": statistics.median(tokens),
        },
        "results": {"one": figures(one), "many": figures(many)},
        "recommended": dict(_best(many).options),
        "failures": failures,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the report as two Markdown tables and the line to load the artifact with."""
    info, settings = report["machine"], report["settings"]
    lines = [
        f"{info['cpu']}, {', '.join(info['cpu_flags'])}; {info['cpus']} CPUs; "
        f"onnxruntime {info['versions']['onnxruntime']}; {settings['texts']} texts with a median of "
        f"{settings['median_tokens']:.0f} tokens. The first row is the default.",
    ]
    for title, key, unit in (
        ("One text at a time", "one", "ms per text"),
        ("Many texts at once", "many", "ms per text"),
    ):
        rows = report["results"][key]
        names = list(rows[0]["options"])
        lines += ["", f"{title}, {rows[0]['rounds']} interleaved rounds:", ""]
        lines += [f"| {' | '.join(names)} | {unit} | speedup |", "|---" * (len(names) + 2) + "|"]
        for row in rows:
            cells = [str(row["options"][name]) for name in names]
            lines.append(f"| {' | '.join(cells)} | {row['ms_per_text']:.2f} | {row['speedup']:.2f}x |")
    options = ", ".join(f"{name}={value!r}" for name, value in report["recommended"].items())
    lines += ["", "Load the artifact with:", "", f"    load({settings['model']!r}, {options})"]
    lines += [f"\n{reason}" for reason in report["failures"].values()]
    return "\n".join(lines) + "\n"


def _settings_for_one(default: Mapping[str, Any]) -> list[Setting]:
    """Returns the default, then every other number of threads and profile, and the other providers that are here."""
    powers = [1 << power for power in range(available_cpus().bit_length())]
    threads = sorted({*powers, available_cpus()}, reverse=True)
    present = [name for name, full in PROVIDERS.items() if full in onnxruntime.get_available_providers()]
    options = [default]
    for provider in present:
        for count in threads if provider == "cpu" else threads[:1]:
            options += [{"provider": provider, "threads": count, "profile": profile} for profile in get_args(Profile)]
    return [Setting(each) for index, each in enumerate(options) if each not in options[:index]]


def batch_sizes(options: Mapping[str, Any]) -> list[Setting]:
    """Returns the default size of a batch and others."""
    default = BATCH_TOKENS[options["provider"]]
    sizes = sorted((int(factor * default) for factor in FACTORS), key=lambda size: size != default)
    return [Setting({**options, "batch_tokens": size}) for size in sizes]


def take_turns(
    model: str, settings: list[Setting], batches: Sequence[Batch], seconds: float, failures: dict[str, str]
) -> list[Setting]:
    """Lets the settings run the batches in turns until the time is up.

    Args:
        model: Absolute path of the artifact.
        settings: The default first.
        batches: What each setting runs in a turn; fewer, if the default needs long.
        seconds: How long to measure; loading comes on top.
        failures: Receives the reason for each setting that cannot run.

    Returns:
        The settings that can run, with their times.

    Raises:
        BenchmarkError: No setting can run, or one stopped while it was measured.
    """
    running: dict[str, tuple[Setting, Contender]] = {}
    with contextlib.ExitStack() as stack:
        for setting in settings:
            name = json.dumps(setting.options)
            work_dir = stack.enter_context(tempfile.TemporaryDirectory())
            spec = ContenderSpec("benchmarks.contenders.tuned", name)
            try:
                contender = stack.enter_context(Contender(name, spec, setting.options["threads"]))
                contender.load(LoadRequest(model, "", setting.options["threads"], name, [], work_dir))
                first = sum(contender.time(batches)) / 1000
            except ContenderError as error:
                failures[name] = str(error)
                continue
            if not running:  # the default
                batches = batches[: max(1, int(len(batches) * min(1.0, TURN_S / first)))]
            running[name] = (setting, contender)
        if not running:
            raise BenchmarkError(f"no setting could be measured: {'; '.join(failures.values())}")
        end, turn = time.monotonic() + seconds, 0
        try:
            while turn < MIN_ROUNDS or time.monotonic() < end:
                for name in shuffled(running, str(turn)):
                    setting, contender = running[name]
                    setting.seconds.append(sum(contender.time(batches)) / 1000 / sum(map(len, batches)))
                turn += 1
        except ContenderError as error:
            raise BenchmarkError(f"a setting stopped while it was measured: {error}") from error
    return [setting for setting, _ in running.values()]


def _speedup(setting: Setting, default: Setting) -> float:
    """Returns the median ratio of the default's time to this setting's in the same round."""
    return statistics.median(a / b for a, b in zip(default.seconds, setting.seconds, strict=True))


def _best(settings: Sequence[Setting]) -> Setting:
    """Returns the fastest setting if it is clearly faster than the first one, the default."""
    fastest = max(settings, key=lambda setting: _speedup(setting, settings[0]))
    return fastest if _speedup(fastest, settings[0]) >= WORTH else settings[0]


def figures(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Returns the speed of each setting, ready for JSON."""
    return [
        {
            "options": dict(setting.options),
            "ms_per_text": statistics.median(setting.seconds) * 1000,
            "speedup": _speedup(setting, settings[0]),
            "rounds": len(setting.seconds),
        }
        for setting in settings
    ]
