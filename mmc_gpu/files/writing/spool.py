"""Scores in every draw, kept on disk while a round is scored that does not fit into memory."""

import tempfile
import weakref
from pathlib import Path

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.files.system import read_at, write_at


class DrawsOnDisk:
    """(T, U, D) float64 in a nameless file, written and read by rows of users."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shape = shape
        # nameless: gone with the process, however that ends
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by finalize
        weakref.finalize(self, self._file.close)

    def __setitem__(self, key: tuple[int, Integers], rows: Floats) -> None:
        """Write the rows of some users on a target."""
        target, users = key
        data = np.ascontiguousarray(rows)
        for user, row in zip(users.tolist(), data, strict=True):
            write_at(self._file.fileno(), row.data.cast("B"), self._offset(target, user))

    def __getitem__(self, key: tuple[int, Integers]) -> Floats:
        """Return the rows of some users on a target."""
        target, users = key
        rows = np.empty((len(users), self.shape[2]))
        for user, row in zip(users.tolist(), rows, strict=True):
            read_at(self._file.fileno(), row.data.cast("B"), self._offset(target, user))
        return rows

    def _offset(self, target: int, user: int) -> int:
        return 8 * self.shape[2] * (target * self.shape[1] + user)
