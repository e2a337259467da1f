"""Types of arrays.

`Targets` are (rows,) int64 label indices for single-label data, (rows, labels) float32 of 0 and 1 for multi-label data.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Targets = Integers | Floats
