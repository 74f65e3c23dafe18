"""Packed rounds to score, and pools that fail as told."""

import numpy as np

import mmc_gpu
from mmc_gpu.cluster import rounds
from mmc_gpu.cluster.pools import HerePool
from mmc_gpu.cluster.rounds import BLEND, SCORE, RoundJob
from mmc_gpu.files.rounds.packed_writer import Batch, PackedWriter
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score
from mmc_gpu.rounds.stakes import Stakes
from mmc_gpu.rounds.targets import Targets

GROUPS = 17
STOCKS = 5
METHOD = Method(draws=3)


def make_packed(folder, users, stocks, staked):
    rng = np.random.default_rng(5)
    ids = [f"n{number:03d}" for number in range(stocks)]
    names = [f"user_{number:06d}" for number in rng.permutation(users)]
    matrix = rng.random((users, stocks)).astype(np.float32)
    with PackedWriter(folder, lambda: ids) as writer:
        zeros = np.zeros(users, int)
        writer.add(Batch(names, [bytes(32)] * users, matrix, zeros, zeros))
        stakes = {name: float(rng.exponential()) + 0.01 for name in names[:staked]}
        target = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], stocks)
        writer.finish(Stakes(stakes), Targets(ids, {"target": target, "b": target**2}), [])
        writer.commit()
    return folder


def damage(packed, place):
    """Change a byte of a user's row; return the user."""
    round_ = read_round(packed).round
    file = next(packed.glob("predictions-*.npy"))
    data = bytearray(file.read_bytes())
    data[128 + int(round_.rows[place]) * 20 * 4] ^= 1
    file.write_bytes(data)
    return round_.users[place]


def in_groups(folder, groups):
    """Make a round with so many groups of stakers; return it, and its digest from one process."""
    make_packed(folder, groups * 1024 + 70, STOCKS, groups * 1024 - 5)
    round_ = read_round(folder).round
    return round_, score(round_, METHOD, mmc_gpu.load_engine("numpy"), draws=False).digest


_DIGESTS = {}
"""What was expected before, by the manifest, which names the sha256 of all that a round holds."""


def expected(packed):
    """Return the digest of a packed round from one process."""
    manifest = (packed / "manifest.json").read_bytes()
    if manifest not in _DIGESTS:
        round_ = read_round(packed).round
        _DIGESTS[manifest] = score(round_, METHOD, mmc_gpu.load_engine("numpy")).digest
    return _DIGESTS[manifest]


def job(round_, **options):
    return RoundJob.of(round_, METHOD, "numpy", **({"rows": 1024} | options))


class RecordingPool(HerePool):
    """Notes which blocks were computed; fails some, as often as told."""

    def __init__(self, failures=None):
        self.ran, self.failures = [], failures or {}

    def run(self, function, numbers, shared):
        for number, found in super().run(function, numbers, shared):
            name = (BLEND if function is rounds.blend_block else SCORE, number)
            self.ran.append(name)
            if self.failures.get(name, 0):
                self.failures[name] -= 1
                found = MemoryError("no more of it")
            yield number, found


class TamperingPool(RecordingPool):
    """Changes block 1 of a pass before it arrives, so many times."""

    def __init__(self, stage, change, times=1):
        super().__init__()
        self.stage, self.change, self.times = stage, change, times

    def run(self, function, numbers, shared):
        for number, found in super().run(function, numbers, shared):
            if self.ran[-1] == (self.stage, 1) and self.times:
                self.times -= 1
                found = self.change(found)
            yield number, found
