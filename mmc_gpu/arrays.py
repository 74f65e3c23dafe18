"""The array types that signatures name; shapes stand in docstrings.

Axis letters: U users, S stakers, D draws, N stocks, P probes, T targets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
"""An array where an engine computes: NumPy's, or CuPy's."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ranks = NDArray[np.int32]
Numbers = NDArray[np.floating[Any]]
"""float32 or float64."""
