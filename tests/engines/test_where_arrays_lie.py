"""Where an array lies is asked in engines/ and nowhere else."""

import re
from pathlib import Path

import numpy as np
import pytest

import mmc_gpu
from mmc_gpu.engines.ahead import fetched
from mmc_gpu.engines.arrays import is_in_memory, is_on_gpu
from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.engines.selection import Selection, is_view, select

PACKAGE = Path(mmc_gpu.__file__).parent
QUESTIONS = re.compile(
    r"is_on_gpu|is_in_memory|__cuda_array_interface__|__dlpack|import cupy"
    r'|hasattr\([^)]*"(get|strides|device)"'
)
MATRIX = np.arange(12.0).reshape(3, 4)


class OnDisk:
    """A matrix whose rows are read when they are asked for."""

    shape, dtype = MATRIX.shape, MATRIX.dtype

    def __getitem__(self, rows):
        return MATRIX[rows].copy()


def test_only_engines_ask():
    outside = [path for path in PACKAGE.rglob("*.py") if PACKAGE / "engines" not in path.parents]
    assert len(outside) > 50
    assert [path.name for path in outside if QUESTIONS.search(path.read_text("utf-8"))] == []


def test_a_matrix_on_the_host_or_on_disk_is_on_no_gpu():
    assert not is_on_gpu(MATRIX)
    assert is_in_memory(MATRIX)
    assert not is_in_memory(OnDisk())


@pytest.mark.parametrize("rows", [[0, 1, 2], [1, 2], [2, 0], [1]], ids=str)
@pytest.mark.parametrize("columns", [None, [3, 0, 2]], ids=str)
@pytest.mark.parametrize("matrix", [MATRIX, OnDisk()], ids=["in memory", "on disk"])
def test_what_is_selected_is_what_indexing_gives(matrix, rows, columns):
    rows = np.array(rows, np.int64)
    columns = None if columns is None else np.array(columns)
    found = select(matrix, rows, columns)
    expected = MATRIX[rows] if columns is None else MATRIX[rows][:, columns]
    shown = found.copy() if isinstance(found, Selection) else found
    np.testing.assert_array_equal(shown, expected)
    assert is_view(matrix, rows, columns) == np.shares_memory(found, MATRIX)


def test_blocks_are_fetched_as_an_engine_reads_them():
    selection = Selection(MATRIX, np.array([2, 0]), range(4))
    blocks = [("view", MATRIX), ("selection", selection)]
    (_, view), (key, copy) = fetched(MATRIX, blocks, NumpyEngine())
    assert view is MATRIX
    assert key == "selection"
    np.testing.assert_array_equal(copy, MATRIX[[2, 0]], strict=True)
