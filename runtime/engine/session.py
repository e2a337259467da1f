"""One onnxruntime session over a verified ONNX file.

Knows providers, threads and memory; knows nothing of text or labels. Settings and why:

- profile `latency`: `session.intra_op.spin_duration_us` 200, threads wait that long for the next operator before they
  sleep. As fast as onnxruntime's default, 1.2 to 1.6 times faster than no spinning, and 4 ms of CPU in the second after
  a query; the default burns whole cores in older releases and 29 ms in this one.
- profile `shared`: `session.intra_op.allow_spinning` 0, no CPU is taken from others while nothing is computed.
- the arena for activations stays on in both: without it the process is slower and grows further, and to shrink it after
  each run makes both far worse (docs/experiments.md). It grows to what the largest batch needs, which has a bound.
- no graph optimization: the graph is exported as it is fastest; the extended level puts in SkipLayerNormalization and
  BiasGelu, which are slower (docs/experiments.md).
- but for int8 on a CPU that `saturation` finds out about: `session.x64quantprecision` with the extended level, which is
  where it works, and without the two slow fusions. It fails on weights that layers share ("Attempt to replace the
  existing tensor"), so each gets its own reference to them.
- weights are mapped, not copied: see `onnx_file`.

A session stays with the process that made it: onnxruntime's threads do not survive a fork, and of 1080 children forked
while their parent classified in other threads, three never answered. So `run` refuses in a child. Nor does a child take
an inherited session down, which would wait for those threads for ever (onnxruntime#31961): a session has a reference
too many, which only the process that made it gives back. (To add one in the child is too late for what Python drops
after the modules, such as a context variable.)
"""

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..artifact.folder import artifact_errors
from ..artifact.manifest import MAX_LENGTH, FileEntry, Variant
from ..artifact.watched_file import WatchedFile
from ..errors import FORKED, ArtifactError, DependencyError, InferenceError, LitmusError, ProviderError
from .cpus import available_cpus
from .cuda import Graphs, provider_options, run_bound
from .int8_check import int8_saturates
from .model_file import load_without_weights, unshare_initializers
from .ort import onnxruntime
from .providers import PROVIDERS
from .settings import DEFAULT, Settings

DISABLED_OPTIMIZERS = ("SkipLayerNormFusion", "BiasGeluFusion")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"
OUT_OF_MEMORY = ("bad_alloc", "allocate memory")  # in onnxruntime's messages and the operating system's
SPINNING: Mapping[str, tuple[str, str]] = {
    "latency": ("session.intra_op.spin_duration_us", "200"),
    "shared": ("session.intra_op.allow_spinning", "0"),
}


class Session:
    """A loaded model: arrays of token ids in, logits out."""

    def __init__(
        self,
        folder: Path,
        variant: Variant,
        *,
        provider: str,
        labels: int,
        longest: int = MAX_LENGTH,
        settings: Settings = DEFAULT,
        sha256: str | None = None,
    ) -> None:
        """Creates the session and checks its inputs and output once.

        Args:
            folder: The artifact.
            variant: Which of its ONNX files to load.
            provider: `cpu` or `cuda`.
            labels: Expected length of a row of logits.
            longest: Tokens that the model reads at most.
            settings: How to use the machine.
            sha256: The file's, which is checked; None for one that is being made.

        Raises:
            ProviderError: The provider did not come up, or cannot run the model.
            ArtifactError: The file is another one or no model, or its inputs or output are not what the manifest says.
            InferenceError: There is not enough memory.
        """
        path = (folder / variant.file).resolve()
        options = _options(settings, path.parent)
        self._graphs: Graphs | None = None
        with artifact_errors():
            self._file = WatchedFile(path, variant.file, sha256)
        self._session = _create(path, variant, provider, options, settings)
        self._file.check_path()
        self._inputs = tuple(node.name for node in self._session.get_inputs())
        self._check_signature(variant.file, labels)
        self.provider = provider
        self.variant = variant.name
        self.labels = labels
        self.threads: int = options.intra_op_num_threads
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))  # given back by close, or never
        self._process = os.getpid()
        if provider == "cuda":
            if settings.cuda_graphs:
                self._graphs = Graphs(self._session, OUTPUT, labels, longest=longest, device="cuda")
            self._smoke_test()

    def run(self, inputs: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        """Runs one batch.

        Args:
            inputs: At least the model's inputs, each (batch, sequence) int64.

        Returns:
            Logits, (batch, labels) float32.

        Raises:
            InferenceError: onnxruntime cannot compute them, the session is closed, or this is another process than the
                one that loaded it.
        """
        if os.getpid() != self._process:
            raise InferenceError(FORKED)
        session = self._session
        if session is None:
            raise InferenceError("the classifier is closed; load it again")
        named = {name: inputs[name] for name in self._inputs}
        expected = len(named[self._inputs[0]])
        self._file.check()
        logits = self._logits(session, named)
        while self._file.check():  # something happened to the file meanwhile: it may have been other weights
            logits = self._logits(session, named)
        if len(logits) != expected:
            raise InferenceError(f"the model gave {len(logits)} rows of logits for {expected} texts; export it again")
        return logits

    def _logits(
        self, session: onnxruntime.InferenceSession, inputs: Mapping[str, npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.float32]:
        try:
            if self.provider == "cpu":
                (logits,) = session.run([OUTPUT], inputs)
            elif self._graphs is not None and len(next(iter(inputs.values()))) == 1:
                logits = self._graphs.run(inputs)
            else:
                logits = run_bound(session, inputs, OUTPUT, graphs=self._graphs is not None)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise InferenceError(f"onnxruntime failed on {self.provider}: {_first_line(error)}") from error
        return np.asarray(logits, np.float32)

    def close(self) -> None:
        """Gives memory and threads back, once the runs of other threads have ended; a second time does nothing."""
        session, self._session, self._graphs = self._session, None, None
        if session is not None and os.getpid() == self._process:
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(session))

    def __del__(self) -> None:
        if os.getpid() == getattr(self, "_process", None):
            self.close()

    def _smoke_test(self) -> None:
        """Runs two tokens: CUDA may start and then lack the kernels for this GPU."""
        try:
            self.run({name: np.ones((1, 2), np.int64) for name in INPUTS})
        except InferenceError as error:
            self.close()
            raise ProviderError(
                f"{self.provider} starts but cannot run the model here; use provider 'cpu'. {error}"
            ) from error

    def _check_signature(self, file: str, labels: int) -> None:
        for node in self._session.get_inputs():
            fixed = any(isinstance(dimension, int) for dimension in node.shape)
            if node.name not in INPUTS or node.type != "tensor(int64)" or len(node.shape) != 2 or fixed:
                raise ArtifactError(
                    f"{file}: input {node.name[:80]!r} is {node.type} of shape {node.shape}; "
                    f"expected int64 of (batch, sequence), any number of both, named {', '.join(INPUTS)}"
                )
        outputs = {node.name: node for node in self._session.get_outputs()}
        if OUTPUT not in outputs:
            raise ArtifactError(f"{file}: expected an output named {OUTPUT!r}, found {repr([*outputs])[:80]}")
        node = outputs[OUTPUT]
        if node.type != "tensor(float)" or len(node.shape) != 2 or node.shape[1] != labels:
            raise ArtifactError(
                f"{file}: {OUTPUT} is {node.type} of shape {node.shape}; "
                f"expected tensor(float) of (batch, {labels}), one column per label"
            )


def _options(settings: Settings, folder: Path) -> onnxruntime.SessionOptions:
    """Returns the options of every session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads or available_cpus()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # its errors become ours, and would stand on standard error as well
    options.add_session_config_entry(*SPINNING[settings.profile])
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return options


def _create(
    path: Path, variant: Variant, provider: str, options: onnxruntime.SessionOptions, settings: Settings
) -> onnxruntime.InferenceSession:
    """Creates onnxruntime's session; what it says against it becomes an error of ours."""
    name = PROVIDERS[provider]
    extras = {}
    if provider == "cuda":
        extras = provider_options(settings.gpu_memory_mb, graphs=settings.cuda_graphs)
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            onnxruntime.preload_dlls()  # finds the CUDA libraries of the nvidia-* wheels
    try:
        model = load_without_weights(path)
        if variant.name == "int8" and provider == "cpu" and int8_saturates():
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            options.add_session_config_entry("session.x64quantprecision", "1")
            model = unshare_initializers(model)
        session = onnxruntime.InferenceSession(
            model, options, providers=[(name, extras)], disabled_optimizers=DISABLED_OPTIMIZERS, enable_fallback=False
        )
    except LitmusError:
        raise
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        if provider != "cpu":
            raise ProviderError(
                f"{name} did not start on this machine; use provider 'cpu'. {_first_line(error)}"
            ) from error
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise InferenceError(
                f"there is not enough memory to load {variant.file}; free some, or choose a smaller variant"
            ) from error
        raise ArtifactError(
            f"onnxruntime cannot load {variant.file}; export the artifact again. {_first_line(error)}"
        ) from error
    if session.get_providers()[0] != name:
        raise ProviderError(f"{name} did not start on this machine; use provider 'cpu', or install its libraries")
    return session


def open_session(
    folder: Path,
    attempts: Sequence[tuple[str, Variant]],
    *,
    labels: int,
    longest: int,
    settings: Settings = DEFAULT,
    files: Mapping[str, FileEntry],
) -> Session:
    """Creates a session on the first provider that really works.

    `attempts` are those of `providers.choices`, `files` the manifest's; the other arguments, and the errors, are those
    of `Session`.
    """

    def attempt(provider: str, variant: Variant) -> Session:
        sha256 = files[variant.file].sha256
        return Session(
            folder, variant, provider=provider, labels=labels, longest=longest, settings=settings, sha256=sha256
        )

    *others, last = attempts
    for provider, variant in others:
        with contextlib.suppress(ProviderError):
            return attempt(provider, variant)
    return attempt(*last)


def check_version(minimum: str) -> None:
    """Refuses an onnxruntime that is older than the artifact was tested with.

    Raises:
        DependencyError: It is; the message has both versions.
    """
    found = onnxruntime.__version__
    if _release(found) < _release(minimum):
        raise DependencyError(f"the artifact needs onnxruntime {minimum} or later, found {found}; upgrade onnxruntime")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _first_line(error: Exception) -> str:
    """Leaves out the stack trace that some of onnxruntime's messages go on with."""
    return str(error).partition("\n")[0]
