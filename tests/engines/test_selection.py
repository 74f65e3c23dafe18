"""Rows and columns in another order: what is written is what NumPy's indexing gives."""

import numpy as np
import pytest

from mmc_gpu.engines import load_engine
from mmc_gpu.engines.selection import Selection, copied, in_memory

ROWS = np.array([5, 0, 69, 68, 1, *range(10, 60)])
COLUMNS = {"together": range(40), "shuffled": np.random.default_rng(1).permutation(40)[:33]}
LAYOUTS = {
    "by rows": lambda matrix: matrix,
    "by stocks": np.asfortranarray,
    "strided": lambda matrix: np.repeat(matrix, 2, axis=1)[:, ::2],
    "backwards": lambda matrix: matrix[::-1].copy()[::-1],
    "float32": lambda matrix: matrix.astype(np.float32),
}


def make_selection(layout="by rows", columns="together"):
    matrix = LAYOUTS[layout](np.random.default_rng(0).random((70, 40)))
    matrix.flags.writeable = False
    return Selection(matrix, ROWS, COLUMNS[columns]), matrix[ROWS][:, COLUMNS[columns]]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_selection_is_what_indexing_gives(layout, columns):
    selection, expected = make_selection(layout, columns)
    assert (selection.shape, selection.dtype, len(selection)) == (
        expected.shape,
        expected.dtype,
        len(expected),
    )
    copy = selection.copy()
    np.testing.assert_array_equal(copy, expected, strict=True)
    assert copy.flags.c_contiguous
    np.testing.assert_array_equal(selection[3:20, 7:9].copy(), expected[3:20, 7:9], strict=True)
    np.testing.assert_array_equal(selection[:, 9:][50:].copy(), expected[50:, 9:], strict=True)


@pytest.mark.parametrize("columns", [*COLUMNS.values(), range(3, 9)])
def test_a_selection_on_disk_is_what_indexing_gives(columns):
    class OnDisk:
        is_near, shape, dtype = True, (70, 40), np.float64

        def __getitem__(self, rows):
            return matrix[rows]

    matrix = np.random.default_rng(0).random((70, 40))
    selection = Selection(OnDisk(), ROWS, columns)
    expected = matrix[ROWS][:, columns]
    assert selection.by_rows
    assert in_memory(selection) is not selection
    for block in (selection, in_memory(selection)):
        np.testing.assert_array_equal(copied(block), expected, strict=True)
    out = np.empty((17, expected.shape[1]))
    selection[3:20].write(out)
    np.testing.assert_array_equal(out, expected[3:20])


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_cpu_engine_reads_selections_as_it_reads_arrays(layout, columns):
    engine = load_engine("cpu")
    assert engine.selects
    selection, expected = make_selection(layout, columns)
    random = np.random.default_rng(2)
    weights = random.random((3, len(ROWS)))
    blend = np.zeros((3, expected.shape[1]))
    probes = random.integers(-9, 9, (4, expected.shape[1])).astype(np.int32)
    for verb in (
        lambda block: engine.combine(blend, block, weights),
        lambda block: engine.rank(block, "first"),
        lambda block: engine.moments(block, probes, "average"),
    ):
        np.testing.assert_array_equal(verb(engine.put(selection)), verb(expected))


def test_what_is_no_selection_is_not_copied():
    block = np.zeros((2, 3))
    assert copied(block) is block
    selection, expected = make_selection()
    np.testing.assert_array_equal(copied(selection), expected)
