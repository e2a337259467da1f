"""The contenders by name, and the interpreter each runs in."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".venvs" / "peers"


@dataclass(frozen=True)
class ContenderSpec:
    """One contender.

    Attributes:
        module: Defines `load`.
        option: Passed on in the job.
        peer: Folder under `peers/` whose environment it needs; None for ours.
    """

    module: str
    option: str = ""
    peer: str | None = None


CONTENDERS = {
    "litmus": ContenderSpec("benchmarks.contenders.litmus"),
    "litmus-fp32": ContenderSpec("benchmarks.contenders.litmus", "fp32"),
    "pytorch-fp32": ContenderSpec("benchmarks.contenders.pytorch", "float32"),
    "pytorch-bf16": ContenderSpec("benchmarks.contenders.pytorch", "bfloat16"),
    "pipeline": ContenderSpec("benchmarks.contenders.pipeline"),
    "optimum-fp32": ContenderSpec("benchmarks.peers.optimum.contender", "fp32", "optimum"),
    "optimum-int8": ContenderSpec("benchmarks.peers.optimum.contender", "int8", "optimum"),
    "optimum-int8-pipeline": ContenderSpec("benchmarks.peers.optimum.pipeline", "int8", "optimum"),
    "openvino-int8": ContenderSpec("benchmarks.peers.openvino.contender", peer="openvino"),
}
BASELINE = "pytorch-fp32"


def interpreter(entry: ContenderSpec) -> str:
    """Returns the Python to run a contender with; a peer's environment is made on first use, and again if it changes.

    Raises:
        subprocess.CalledProcessError: Its packages cannot be installed.
    """
    if entry.peer is None:
        return sys.executable
    requirements = PEERS / entry.peer / "requirements.txt"
    environment = ENVIRONMENTS / entry.peer
    python = environment / "bin" / "python"
    stamp = environment / "installed.txt"
    if not stamp.is_file() or stamp.read_text() != requirements.read_text():
        print(f"installing {entry.peer} into {environment} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return str(python)
