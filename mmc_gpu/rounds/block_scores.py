"""The scores of a block of users: what engines and workers hand over, and their hashes."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.rounds.further import canonical, name_bytes


class Draws(Protocol):
    """A store of (T, U, D) float64: an array, or one on disk."""

    def __setitem__(self, key: Any, rows: Floats, /) -> None:
        """Write some users' rows of a target."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return some users' rows of a target."""
        ...


class BlockScores(NamedTuple):
    """The scores of a block of B users."""

    corr_with_meta_model: Floats  # (B,) correlations with the meta model of the full stakes
    mmc: Floats  # (T, B) means over the draws
    mmc_se: Floats  # (T, B) their standard errors
    corr: Floats  # (T, B) correlations with the targets
    per_draw: Floats  # (T, B, D) MMC of each draw


def user_hashes(users: Sequence[str], stakes: Floats, block: BlockScores) -> NDArray[np.uint8]:
    """Return for each target the sha256 of each user's name and numbers: (T, B, 32).

    The block has every draw.
    """
    names = [name_bytes(user) for user in users]
    hashes = np.empty((len(block.mmc), len(users), 32), np.uint8)
    for target, per_draw in enumerate(block.per_draw):
        own = (stakes, block.mmc[target], block.mmc_se[target], block.corr[target])
        columns = np.stack([*own, block.corr_with_meta_model], axis=1)
        rows = canonical(np.concatenate([columns, per_draw], axis=1))
        data, size = rows.tobytes(), rows.strides[0]  # bytes are cut in half the time of rows
        hashed = [
            hashlib.sha256(name + data[at : at + size]).digest()
            for name, at in zip(names, range(0, len(data), size), strict=True)
        ]
        hashes[target] = np.frombuffer(b"".join(hashed), np.uint8).reshape(-1, 32)
    return hashes
