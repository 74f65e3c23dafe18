"""Numbers of a CSV: as Python writes them, however they are made."""

import numpy as np

from mmc_gpu.files.writing.tables import csv_bytes


def test_every_float_is_written_as_python_writes_it():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.normal(0, 0.01, 5_000),
            10.0 ** rng.uniform(-20, 20, 5_000),
            rng.integers(0, 2**63, 5_000, dtype=np.uint64).view(np.float64),
            [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, 1e10, 1e16, 1e-4, np.nextafter(1e-4, 0)],
            [5e-324, 1e22, 9_999_999_999.5, 10_000_000_000.5, 123_456_789_012_345.6],
        ]
    )
    lines = csv_bytes({"value": values}).decode().splitlines()
    assert lines == ["value", *map(repr, values.tolist())]


def test_rows_of_all_parts_are_there_in_order():
    count = 10_000
    lines = csv_bytes({"n": np.arange(count), "text": ["a,b"] * count}).decode().splitlines()
    assert lines == ["n,text", *(f'{row},"a,b"' for row in range(count))]
    assert csv_bytes({}) == b"\n"
    assert csv_bytes({"n": []}) == b"n\n"
