"""The command line of `python -m runtime.serve`, checked before anything is loaded."""

import argparse
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from ..artifact.labels import is_label_name
from ..cli.arguments import add_engine, check_engine
from ..cli.parser import Parser
from .settings import Limits

DEFAULTS = Limits()
MAX_WORKERS = 256
LIMITS: tuple[tuple[str, int | float, str, str], ...] = (
    ("--max-body-bytes", DEFAULTS.max_body_bytes, "N", "size of the largest body"),
    ("--max-texts", DEFAULTS.max_texts, "N", "texts of one request"),
    ("--max-waiting-tokens", DEFAULTS.max_waiting_tokens, "N", "tokens that wait"),
    ("--max-wait-ms", 1000 * DEFAULTS.max_wait_s, "MS", "reject a request with 429 if it would wait longer for others"),
    ("--timeout-ms", 1000 * DEFAULTS.timeout_s, "MS", "end a request with 504 after this time"),
    ("--receive-seconds", DEFAULTS.receive_s, "S", "time in which a request has to arrive"),
    ("--idle-seconds", DEFAULTS.idle_s, "S", "close a connection without a request after this time"),
    ("--drain-seconds", DEFAULTS.drain_s, "S", "time to complete requests after SIGTERM"),
)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Raises:
        SystemExit: The command line is wrong (status 2).
    """
    parser = Parser(prog="python -m runtime.serve", description="Serve a classifier over HTTP.", allow_abbrev=False)
    parser.add_argument(
        "--model", required=True, type=Path, metavar="ARTIFACT", help="folder that `python -m export` wrote"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the model in responses (default: the folder's name)")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen on, 0 for a free one (default: 8000)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes, each with its own model; they share the CPUs (default: 1)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="load the artifact again when it is replaced; SIGHUP does so, too"
    )
    parser.add_argument("--echo-input", action="store_true", help="repeat each text in the response of /predict")
    access = parser.add_argument_group("access")
    access.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="accept requests with one of these keys only, one per line"
    )
    access.add_argument(
        "--insecure", action="store_true", help="listen on an address other than this machine's own without keys"
    )
    access.add_argument(
        "--allow-host",
        nargs="+",
        metavar="NAME",
        help="names that the Host header may have (default: without keys on 127.0.0.1 this machine's own, else any)",
    )
    access.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain in PEM; needs --tls-key")
    access.add_argument("--tls-key", type=Path, metavar="FILE", help="private key in PEM")
    group = parser.add_argument_group("limits")
    for name, default, metavar, help_text in LIMITS:
        shown = f"{help_text} (default: {default:{'d' if isinstance(default, int) else 'g'}})"
        group.add_argument(name, type=type(default), default=default, metavar=metavar, help=shown)
    add_engine(parser.add_argument_group("engine"))
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.wrong("unknown option or argument; see --help")
    check_engine(parser, args)
    _check(parser, args)
    return args


def limits(args: argparse.Namespace) -> Limits:
    """Returns the limits of a command line."""
    return Limits(
        max_body_bytes=args.max_body_bytes,
        max_texts=args.max_texts,
        max_waiting_tokens=args.max_waiting_tokens,
        max_wait_s=args.max_wait_ms / 1000,
        timeout_s=args.timeout_ms / 1000,
        receive_s=args.receive_seconds,
        idle_s=args.idle_seconds,
        drain_s=args.drain_seconds,
    )


def hosts(args: argparse.Namespace) -> frozenset[str] | None:
    """Returns the names that the Host header may have; None for any.

    A page in a browser could otherwise reach a service without keys by a name that resolves to 127.0.0.1 (DNS
    rebinding).
    """
    if args.allow_host is not None:
        return frozenset(name.lower() for name in args.allow_host)
    return frozenset((*LOOPBACK, args.host)) if is_loopback(args.host) and args.api_key_file is None else None


def is_loopback(host: str) -> bool:
    """Returns whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Rejects values that are out of range, and an open door."""
    if args.name is not None and not is_label_name(args.name):
        parser.wrong("--name: expected printable characters")
    if not 0 <= args.port <= 65535:
        parser.wrong("--port: expected a number from 0 to 65535")
    if not 1 <= args.workers <= MAX_WORKERS:
        parser.wrong(f"--workers: expected a number from 1 to {MAX_WORKERS}")
    for option, *_ in LIMITS:
        value = getattr(args, option.removeprefix("--").replace("-", "_"))
        if not (0 < value < 1e12 or (value == 0 and option == "--drain-seconds")):
            parser.wrong(f"{option}: expected a positive number")
    if (args.tls_cert is None) != (args.tls_key is None):
        parser.wrong("--tls-cert and --tls-key need each other")
    if not is_loopback(args.host) and args.api_key_file is None and not args.insecure:
        parser.wrong(
            "--host: other machines can reach this address; pass --api-key-file, or --insecure if a proxy in front "
            "of the service checks who sends a request"
        )
