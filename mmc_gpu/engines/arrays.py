"""The array types that signatures name; shapes stand in docstrings.

Axis letters: U users, S stakers, D draws, N stocks, P probes, T targets.
"""

from math import inf, prod
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


def value_count(data: Any) -> float:
    """Return how many values an array or a frame has, as the work that `load_engine` judges by.

    Infinity for an array on a GPU: where it lies is where it is computed.
    """
    return inf if is_on_gpu(data) else float(prod(np.shape(data)))


def is_in_memory(matrix: Any) -> bool:
    """Return whether a matrix lies in memory, on the host or on a GPU.

    Any other reads its rows from disk when they are asked for.
    """
    return isinstance(matrix, np.ndarray) or is_on_gpu(matrix)


def on_gpu(data: Any) -> Any:
    """Return an array on a GPU as CuPy's array, without a copy.

    By DLPack, where the array has it: DLPack names the GPU, and waits for what writes the array.
    A Series whose rows have labels, which would be ignored, is a RoundError.
    """
    import cupy

    if isinstance(data, cupy.ndarray):
        return data
    if hasattr(data, "to_arrow") and type(data.index).__name__ != "RangeIndex":
        raise RoundError("data-type", "a Series on a GPU whose rows have labels is given")
    if hasattr(data, "__dlpack__"):
        return cupy.from_dlpack(data)
    pointer = data.__cuda_array_interface__["data"][0]
    with cupy.cuda.Device(cupy.cuda.runtime.pointerGetAttributes(pointer).device):
        return cupy.asarray(data)  # with another current device this would be a copy


def kept_on_gpu(data: Any) -> Any:
    """Return an array on a GPU as CuPy's, without a copy; None for what lies elsewhere."""
    return as_array(data) if is_on_gpu(data) else None


def on_host(data: Any) -> Any:
    """Return data as they are; an array on a GPU, of any library, as NumPy's, copied from there."""
    return on_gpu(data).get() if is_on_gpu(data) else data


def as_array(data: Any) -> Array:
    """Return data as a NumPy array; data on a GPU as CuPy's array, without a copy.

    Raises:
        RoundError: an array on a GPU is neither float32 nor float64.
    """
    if not is_on_gpu(data):
        return np.asarray(data)
    array = on_gpu(data)
    if array.dtype not in (np.float32, np.float64):
        raise RoundError("column-type", f"an array of {array.dtype} on the GPU, not float32 or 64")
    return array
