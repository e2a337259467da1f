"""The command line of `python -m benchmarks`."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from .evaluation.arguments import add_options as add_evaluate
from .harness.catalog import CONTENDERS, CONTROL, LITMUS, REPORTED, SERVICES

HELP = {
    "latency": "time from text to scores, compared with PyTorch, Optimum and OpenVINO",
    "throughput": "texts per second, compared with padded batches in the order of the file",
    "footprint": "start-up time, memory and idle CPU time of the runtime; Linux only",
    "quality": "quality of an artifact, compared with its checkpoint in PyTorch",
    "report": "speed, quality, memory and cost on one page, compared with the alternatives",
    "roofline": "how close the artifact comes to the arithmetic that this CPU can do",
    "evaluate": "quality of an artifact on any labelled file: groups, comparison, label errors, drift",
    "tune": "the settings of `load` that are fastest for your texts on this machine, in about two minutes",
    "files": "jobs on files of any size, compared with the same texts in memory",
    "service": "what the HTTP service costs and does under load, compared with other services; Linux only",
    "cuda": "every check of a GPU: verification, latency against PyTorch, IO binding, batch sizes",
    "training": "speed of training, compared with padding every text to the same length",
}
PLOT_FORMATS = (".svg", ".png")
BATCH_SIZES = (8, 32)
LENGTHS = (8, 32, 128, 256, 512)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure speed, size and quality of an artifact, compared with PyTorch, Optimum and OpenVINO.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {}
    for name, help_text in HELP.items():
        command = parsers[name] = commands.add_parser(name, help=help_text, description=_sentence(help_text))
        if name != "training":
            command.add_argument(
                "--model", required=True, metavar="ARTIFACT", help="folder that `python -m export` wrote"
            )
        if name not in ("footprint", "tune", "evaluate", "roofline", "files"):
            help_checkpoint = "folder that `python -m training` wrote"
            command.add_argument("--checkpoint", required=True, metavar="FOLDER", help=help_checkpoint)
        if name == "evaluate":
            add_evaluate(command)
            continue
        if name == "report":
            _add_report(command)
            continue
        command.add_argument(
            "--output", type=Path, metavar="FILE.json", help="also write the report as JSON, in place of an older one"
        )
    _add_latency(parsers["latency"])
    _add_number(parsers["tune"], "--texts", 100, "texts to draw from the file")
    _add_texts_file(parsers["tune"], required=True)
    _add_texts_file(parsers["files"], required=True)
    _add_number(parsers["files"], "--rows", 100_000, "rows of the file, with the texts repeated")
    _add_number(parsers["files"], "--rounds", 3, "interleaved rounds")
    _add_number(parsers["files"], "--workers", 2, "processes of a job, and actors on Ray")
    parsers["files"].add_argument("--ray", action="store_true", help="measure a Ray cluster on this machine as well")
    help_memory = "rows of the smaller of two files whose peak memory is compared (default: none are)"
    parsers["files"].add_argument("--memory_rows", type=_positive, metavar="N", help=help_memory)
    _add_rounds_and_threads(parsers["throughput"], rounds=5)
    texts_help = "texts of the test split to run (default: all)"
    parsers["throughput"].add_argument("--texts", type=_positive, metavar="N", help=texts_help)
    _add_number(
        parsers["footprint"], "--calls", 10000, "calls after the first hundred, during which memory growth is measured"
    )
    _add_number(parsers["footprint"], "--repeats", 9, "fresh processes per measured time")
    _add_number(parsers["training"], "--rows", 128, "rows of the training split to train on")
    parsers["service"].add_argument(
        "--services",
        nargs="+",
        default=list(SERVICES),
        choices=SERVICES,
        metavar="NAME",
        help=f"services whose cost is measured (default: all): {', '.join(SERVICES)}",
    )
    _add_number(parsers["service"], "--rounds", 7, "interleaved rounds of the cost")
    _add_number(parsers["service"], "--seconds", 60, "seconds of overload")
    _add_threads(parsers["roofline"])
    _add_number(parsers["cuda"], "--rounds", 5, "interleaved rounds")
    _add_number(parsers["training"], "--rounds", 3, "interleaved rounds")
    _add_report_commands(commands)
    args = parser.parse_args(argv)
    if args.command in ("latency", "report") and (args.texts_file is None) != (args.text_column is None):
        parsers[args.command].error("pass both --texts_file and --text_column, or neither")
    return args


def _add_latency(command: argparse.ArgumentParser) -> None:
    default = [name for name in CONTENDERS if name != CONTROL]
    _add_compared(command, default, f"all but {CONTROL}", rounds=12, texts=40)
    _add_texts_file(command, required=False)


def _add_report(command: argparse.ArgumentParser) -> None:
    help_folder = "folder for report.html, report.md and the JSON of every measurement (default: build/report)"
    command.add_argument("--output_dir", type=Path, default=Path("build/report"), metavar="FOLDER", help=help_folder)
    _add_compared(command, list(REPORTED), ", ".join(REPORTED), rounds=7, texts=20)
    _add_texts_file(command, required=False)
    help_price = "price of this machine per hour, for the cost of a million texts"
    command.add_argument("--hourly-price", type=_price, metavar="AMOUNT", help=help_price)
    help_restart = "measure everything again (default: what was measured with the same settings is read)"
    command.add_argument("--restart", action="store_true", help=help_restart)


def _add_compared(command: argparse.ArgumentParser, default: list[str], shown: str, *, rounds: int, texts: int) -> None:
    command.add_argument(
        "--contenders",
        nargs="+",
        default=default,
        choices=list(CONTENDERS),
        metavar="NAME",
        help=f"contenders to measure: {', '.join(CONTENDERS)}; {CONTROL} is {LITMUS} in a second process and shows how "
        f"far two equal contenders differ (default: {shown})",
    )
    _add_rounds_and_threads(command, rounds=rounds)
    _add_number(command, "--texts", texts, "real texts per round")
    _add_numbers(command, "--batch_sizes", BATCH_SIZES, "texts per batch; real texts run one at a time as well")
    _add_numbers(command, "--lengths", LENGTHS, "tokens of the texts of fixed lengths, up to what the model reads")


def _add_texts_file(command: argparse.ArgumentParser, *, required: bool) -> None:
    default = "" if required else " (default: the test split)"
    help_file = f".csv, .tsv or .jsonl file of real texts{default}"
    command.add_argument("--texts_file", "--data", metavar="FILE", required=required, help=help_file)
    help_column = "column of --texts_file that contains the texts"
    command.add_argument("--text_column", metavar="NAME", required=required, help=help_column)
    command.add_argument(
        "--delimiter", metavar="C", help="character between fields of --texts_file (default: by its suffix)"
    )
    command.add_argument(
        "--encoding", default="utf-8", metavar="NAME", help="encoding of --texts_file (default: utf-8)"
    )


def _add_report_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    help_text = "draw a latency report"
    plot = commands.add_parser("plot", help=help_text, description=_sentence(help_text))
    plot.add_argument("--latency", type=Path, required=True, metavar="FILE.json", help="report of `latency`")
    plot.add_argument(
        "--lengths",
        type=_positive,
        nargs="+",
        metavar="N",
        help="lengths in tokens to draw (default: all of the report)",
    )
    plot.add_argument("--output", type=_image, required=True, metavar="FILE", help=".svg or .png file to write")
    help_text = "join a latency and a quality report in the table that `make demo` ends with"
    demo = commands.add_parser("demo", help=help_text, description=_sentence(help_text))
    for name in ("latency", "quality"):
        demo.add_argument(f"--{name}", type=Path, required=True, metavar="FILE.json", help=f"report of `{name}`")


def _add_rounds_and_threads(command: argparse.ArgumentParser, *, rounds: int) -> None:
    _add_number(command, "--rounds", rounds, "interleaved rounds")
    _add_threads(command)


def _add_threads(command: argparse.ArgumentParser) -> None:
    threads_help = "threads of each contender (default: the CPUs of this process)"
    command.add_argument("--threads", type=_positive, metavar="N", help=threads_help)


def _add_number(command: argparse.ArgumentParser, option: str, default: int, help_text: str) -> None:
    command.add_argument(option, type=_positive, default=default, metavar="N", help=f"{help_text} (default: {default})")


def _add_numbers(command: argparse.ArgumentParser, option: str, default: Sequence[int], help_text: str) -> None:
    help_text = f"{help_text} (default: {' '.join(map(str, default))})"
    command.add_argument(option, type=_positive, nargs="+", default=list(default), metavar="N", help=help_text)


def _sentence(help_text: str) -> str:
    return f"{help_text[0].upper()}{help_text[1:]}."


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, found {value!r}")
    return int(value)


def _price(value: str) -> float:
    try:
        price = float(value)
    except ValueError:
        price = math.nan
    if not 0 < price < math.inf:
        raise argparse.ArgumentTypeError(f"expected a price above 0, for example 0.34, found {value!r}")
    return price


def _image(value: str) -> Path:
    if not value.endswith(PLOT_FORMATS):
        raise argparse.ArgumentTypeError(f"expected a file name that ends in {' or '.join(PLOT_FORMATS)}")
    return Path(value)
