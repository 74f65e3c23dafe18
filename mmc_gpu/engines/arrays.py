"""The array types that signatures name; shapes stand in docstrings.

Axis letters: U users, S stakers, D draws, N stocks, P probes, T targets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.errors import RoundError

Array = Any
"""An array where an engine computes: NumPy's, or CuPy's."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ranks = NDArray[np.int32]
Numbers = NDArray[np.floating[Any]]
"""float32 or float64."""


_CUDA = 2  # DLPack's kDLCUDA


def is_on_gpu(data: Any) -> bool:
    """Return whether data is an array on a GPU."""
    if hasattr(data, "__cuda_array_interface__"):
        return True
    return hasattr(data, "__dlpack_device__") and data.__dlpack_device__()[0] == _CUDA


def on_gpu(cupy: Any, data: Any) -> Any:
    """Return an array on a GPU as CuPy's, where it is.

    By DLPack where it can be had: it says on which GPU, and waits for what writes the array.
    """
    if isinstance(data, cupy.ndarray):
        return data
    if hasattr(data, "__dlpack__"):
        return cupy.from_dlpack(data)
    pointer = data.__cuda_array_interface__["data"][0]
    with cupy.cuda.Device(cupy.cuda.runtime.pointerGetAttributes(pointer).device):
        return cupy.asarray(data)  # which copies from any other


def on_host(array: Array) -> Numbers:
    """Return an array as NumPy's, copied from the GPU if it is there."""
    return array.get() if hasattr(array, "get") else array


def as_array(data: Any) -> Array:
    """Return data as a NumPy array; what is on a GPU as CuPy's array there, without a copy.

    Raises:
        RoundError: an array on a GPU holds something else than float32 or float64.
    """
    if not is_on_gpu(data):
        return np.asarray(data)
    import cupy

    array = on_gpu(cupy, data)
    if array.dtype not in (np.float32, np.float64):
        raise RoundError("column-type", f"an array of {array.dtype} on the GPU, not float32 or 64")
    return array
