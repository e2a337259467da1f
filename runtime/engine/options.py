"""Options of onnxruntime sessions, each with the reason for it.

- Profile `latency` sets `session.intra_op.spin_duration_us` to 200: threads wait that long for the next operator before
  they sleep. This is as fast as onnxruntime's default and 1.2 to 1.6 times faster than no spinning. It uses 4 ms of CPU
  time in the second after a query; the default uses 29 ms, and whole cores in older releases.
- Profile `shared` sets `session.intra_op.allow_spinning` to 0: an idle session uses no CPU time.
- Both keep the memory arena. Without it the process is slower and uses more memory, and shrinking it after each run is
  worse in both respects (docs/experiments.md). The arena grows to the size of the largest batch, which has a limit.
- Graph optimization is off. The exported graph is already in its fastest form, and the extended level adds
  SkipLayerNormalization and BiasGelu, which are slower (docs/experiments.md).
- The exception is int8 on a CPU whose int8 products saturate (see `int8_check`). It needs
  `session.x64quantprecision`, which only works at the extended level; the two slow fusions are disabled there.
"""

from collections.abc import Mapping
from pathlib import Path

from .cpus import available_cpus
from .ort import onnxruntime
from .settings import Settings

DISABLED_OPTIMIZERS = ("SkipLayerNormFusion", "BiasGeluFusion")
SPINNING: Mapping[str, tuple[str, str]] = {
    "latency": ("session.intra_op.spin_duration_us", "200"),
    "shared": ("session.intra_op.allow_spinning", "0"),
}


def session_options(settings: Settings, weights_folder: Path, *, exact_int8: bool) -> onnxruntime.SessionOptions:
    """Returns the options of one session.

    Args:
        settings: Threads and profile.
        weights_folder: The folder of the file that the weights are mapped from.
        exact_int8: Whether to select kernels for int8 that do not saturate.
    """
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads or available_cpus()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED if exact_int8 else levels.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors are raised, and would be printed as well
    options.add_session_config_entry(*SPINNING[settings.profile])
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights_folder))
    if exact_int8:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options
