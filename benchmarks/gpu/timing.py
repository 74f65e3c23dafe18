"""Timings of the GPU engine: bandwidths, kernels beside their alternatives, whole rounds.

Only finished work is timed: each timing starts and ends with an idle device. Beside the time of
Python's clock stands the device's own, between two events around what was enqueued; what the host
does between launches is in both. Parity is checked first, on the same arrays. Fractions are of the
bandwidths that were measured in the same run.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from mmc_gpu.engines import load_engine
from mmc_gpu.engines.gpu.engine import GpuEngine
from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.engines.protocol import GROUP, RoundPlan, Ties
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.rounds.algebra import Target
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import Probes, score_block

Found = dict[str, Any]

BLENDS = 21
"""Blends of a round of 20 draws: one for each draw, and one of the full stakes."""

_LAUNCHES = 50
"""Launches of a kernel that are timed together."""

TIES: tuple[Ties, Ties] = ("first", "average")

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Any]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.normal(0.5, 0.01, shape),
    "two decimals": lambda rng, shape: rng.random(shape).round(2),
    "five values": lambda rng, shape: rng.integers(0, 5, shape) / 4,
    "heavy tails": lambda rng, shape: rng.standard_cauchy(shape),
}


@dataclass(frozen=True)
class Sizes:
    """How large the timed rounds are: stocks, users, draws; fewest repeats of each, and seconds."""

    stocks: int = 5_000
    users: int = 5_000
    more: int = 100_000
    most: int = 1_000_000
    many_draws: int = 2_000
    repeats: int = 7
    seconds: float = 0.3


TINY = Sizes(stocks=40, users=30, more=60, most=90, many_draws=50, repeats=2, seconds=0)


class Timing:
    """What the parts below share: the engine, the sizes, the bandwidths once they are known."""

    def __init__(self, engine: GpuEngine, sizes: Sizes) -> None:
        self.engine, self.sizes = engine, sizes
        self.cupy, self.card = engine._cupy, engine.cards[0]
        self.bandwidth: dict[str, float] = {}

    def seconds(self, run: Callable[[], object], on_gpu: bool = True) -> Found:
        """Return the median and the spread of a call, and how often it was timed."""
        began = time.perf_counter()
        for warm in count(1):  # the clocks, too, which fall while the host prepares
            run()
            self.wait()
            if warm > 1 and time.perf_counter() - began >= self.sizes.seconds:
                break
        times: list[float] = []
        on_device = []
        while len(times) < self.sizes.repeats or sum(times) < self.sizes.seconds:
            start = time.perf_counter()
            before = self.event()
            run()
            after = self.event()
            self.wait()
            times.append(time.perf_counter() - start)
            on_device.append(self.cupy.cuda.get_elapsed_time(before, after) / 1e3)
        return {
            "median_s": statistics.median(times),
            "least_s": min(times),
            "most_s": max(times),
            "device_median_s": statistics.median(on_device) if on_gpu else None,
            "repeats": len(times),
        }

    def know(self, found: Found) -> None:
        """Take the bandwidths that an earlier run has found on this machine."""
        earlier = found.get("bandwidths", {}).get("found", {})
        self.bandwidth |= {name: timed["bytes_per_s"] for name, timed in earlier.items()}

    def event(self) -> Any:
        """Return an event of what is on the first GPU's current stream so far, with its time."""
        with self.card.device:
            return self.card.current().record()

    def moved(self, timed: Found, size: int, over: str) -> Found:
        """Add the bytes that had to move, and the fraction of a bandwidth that this is."""
        fraction = (
            size / timed["median_s"] / self.bandwidth[over] if over in self.bandwidth else None
        )
        return timed | {"bytes": size, f"fraction_of_{over}": fraction}

    def wait(self) -> None:
        """Return when the GPUs are idle."""
        for card in self.engine.cards:
            with card.device:
                card.device.synchronize()

    def predictions(self, kind: str, dtype: Any, users: int | None = None) -> Any:
        """Return seeded predictions on the host, (users, stocks)."""
        shape = (users or self.sizes.users, self.sizes.stocks)
        return KINDS[kind](np.random.default_rng(0), shape).astype(dtype)

    def pinned(self, block: Any) -> Any:
        """Return a copy in pinned memory."""
        copy = self.card.memory.pinned(block.shape, block.dtype)
        copy[...] = block
        return copy

    def pinned_rows(self, users: int) -> Any:
        """Return predictions of many users in pinned memory: one block, again and again."""
        block = self.predictions("uniform", np.float32)
        many = self.card.memory.pinned((users, self.sizes.stocks), np.float32)
        for start in range(0, users, len(block)):
            part = many[start : start + len(block)]
            part[...] = block[: len(part)]
        return many

    def on_card(self, block: Any) -> Any:
        """Return a copy on the first GPU."""
        there = self.card.upload(block)
        self.wait()
        return there

    def tiled(self, users: int) -> Any:
        """Return predictions of many users on the GPU: one block, again and again."""
        block = self.on_card(self.predictions("uniform", np.float32))
        many = self.card.memory.empty((users, self.sizes.stocks), np.float32)
        for start in range(0, users, len(block)):
            part = many[start : start + len(block)]
            part.data.copy_from_device_async(block[: len(part)].data, part.nbytes)
        self.wait()
        return many


def bandwidths(timing: Timing) -> Found:
    """Measure what the device's memory and the bus can carry: bytes a second."""
    rows = max(1, (1 << 30) // (4 * timing.sizes.stocks)) if timing.sizes != TINY else 50
    host = np.ones((rows, timing.sizes.stocks), np.float32)
    there, other = timing.on_card(host), timing.card.memory.empty(host.shape, np.float32)
    pinned = timing.pinned(host)
    found = {
        "device": timing.seconds(lambda: other.data.copy_from_device_async(there.data, host.nbytes))
        | {"bytes": 2 * host.nbytes},
        "bus": timing.seconds(
            lambda: other.data.copy_from_host_async(pinned.ctypes.data, host.nbytes)
        )
        | {"bytes": host.nbytes},
        "bus_pageable": timing.seconds(lambda: timing.card.upload(host)) | {"bytes": host.nbytes},
    }
    for name, timed in found.items():
        timed["bytes_per_s"] = timed["bytes"] / timed["median_s"]
        timing.bandwidth[name] = timed["bytes_per_s"]
    return found


def ranks(timing: Timing) -> Found:
    """Time the ranks of every kind of data, beside cupy.argsort and the CPU engine."""
    found: Found = {}
    for dtype in (np.float32, np.float64):
        for kind in KINDS:
            block = timing.predictions(kind, dtype)
            there, size = timing.on_card(block), block.size * (block.itemsize + 4)
            for ties in TIES if dtype is np.float32 else TIES[:1]:
                expected = NumpyEngine().rank(block[:64], ties)
                ranked = timing.engine.get(timing.engine.rank(there, ties))
                np.testing.assert_array_equal(ranked[:64], expected)
                timed = timing.seconds(lambda: timing.engine.rank(there, ties))  # noqa: B023
                name = f"{dtype.__name__}, {kind}, ties {ties}"
                found[name] = timing.moved(timed, size, "device")
        found[f"{dtype.__name__}, cupy.argsort alone"] = timing.seconds(
            lambda: timing.cupy.argsort(there, axis=1)  # noqa: B023
        )
    block = timing.predictions("uniform", np.float32)
    try:
        cpu = load_engine("cpu")
        found["float32, uniform, cpu engine"] = timing.seconds(
            lambda: cpu.rank(block, "first"), on_gpu=False
        )
    except EngineUnavailable as error:
        found["float32, uniform, cpu engine"] = {"unavailable": str(error)}
    return found


def verbs(timing: Timing) -> Found:
    """Time the blends alone, and the products, of ranks that are there and with the ranks."""
    block = timing.predictions("uniform", np.float32)
    rng, stocks = np.random.default_rng(3), block.shape[1]
    weights, blend = rng.random((BLENDS, len(block))), np.zeros((BLENDS, stocks))
    probes = rng.integers(-(2**23), 2**23, (BLENDS + 2, stocks)).astype(np.int32)
    there, total = timing.on_card(block), timing.on_card(blend)
    ranks = timing.engine.rank(there, "first")
    blended = timing.engine.get(timing.engine.combine(total, there, weights))
    np.testing.assert_array_equal(blended, NumpyEngine().combine(blend, block, weights))
    cases = {
        "combine": lambda: timing.engine.combine(total, there, weights),
        "moments of ranks": lambda: timing.engine.moments(ranks, probes, "first"),
        "ranks and moments": lambda: timing.engine.moments(there, probes, "first"),
    }
    return {
        name: timing.moved(timing.seconds(run), block.nbytes, "device")
        for name, run in cases.items()
    }


def launches(timing: Timing) -> Found:
    """Time each kernel of a round by the device's clock: many launches between two events.

    A launch takes Python some 20 us, the kernels of a round 50 to 300: so the device never waits.
    """
    card, rng, (users, stocks) = timing.card, np.random.default_rng(4), _shape(timing)
    empty, kernels = card.memory.empty, card.kernels
    ranks, probes = empty((users, stocks), np.int32), BLENDS + 2
    there = {
        f"ranks, {dtype.__name__}, {kind}": timing.on_card(timing.predictions(kind, dtype))
        for dtype in (np.float32, np.float64)
        for kind in ("uniform", "five values")
    }
    uniform = there["ranks, float32, uniform"]
    weights = timing.on_card(rng.random((BLENDS, users)))
    sums = empty((-(-users // GROUP), BLENDS, stocks), np.float64)
    blend, wanted = empty((BLENDS, stocks), np.float64), empty((users, probes + 1), np.int64)
    others = timing.on_card(rng.integers(-(2**23), 2**23, (probes, stocks)).astype(np.int32))
    own = timing.on_card(rng.integers(1, 2**40, (BLENDS, 3)))
    target = timing.on_card(np.array([[2.0, -40.0, 1e30]]))
    scores, draws = empty((4, users), np.float64), empty((1, users, BLENDS - 1), np.float64)
    of_scores = (wanted, own, target, scores, draws, stocks, np.float64(0.0841))
    cases: dict[str, Callable[[], object]] = {
        name: partial(card.ranking(block.shape, block.dtype), block, first=ranks)
        for name, block in there.items()
    } | {
        "sum_groups": lambda: kernels.sum_groups(uniform, weights, 0, sums),
        "add_groups": lambda: kernels.add_groups(blend, sums),
        "moments": lambda: kernels.moments(ranks, others, wanted),
        "algebra": lambda: kernels.algebra(*of_scores),
    }
    return {name: {"device_s": _between_events(timing, run)} for name, run in cases.items()}


def _shape(timing: Timing) -> tuple[int, int]:
    return timing.sizes.users, timing.sizes.stocks


def _between_events(timing: Timing, run: Callable[[], object]) -> float:
    """Return the device's seconds of a launch, the median of some times many of them."""
    times: list[float] = []
    with timing.card.device:
        for _ in range(1 + timing.sizes.repeats):  # the first warms the clocks
            before = timing.event()
            for _ in range(_LAUNCHES):
                run()
            after = timing.event()
            timing.wait()
            times.append(timing.cupy.cuda.get_elapsed_time(before, after) / 1e3 / _LAUNCHES)
    return statistics.median(times[1:])


def plan_of(block: Any, weights: Any, limbs: Any) -> RoundPlan:
    """Return a round of one target; its exponent and variance are made up."""
    target = np.array([[float(len(limbs)), -40.0, 1e30]])
    return RoundPlan(block, weights, limbs, target, "first", False, 0.0841, per_draw=True)


def engine_round(engine: Any, block: Any, weights: Any, limbs: Any) -> Any:
    """Return the moments of a round's users, step by step as rounds/scoring.py does it."""
    zeros = engine.zeros(len(weights), block.shape[1])
    blend = engine.combine(zeros, block[: weights.shape[1]], weights)
    meta_models = engine.rank(blend, "first")
    return engine.moments(block, engine.stack([meta_models, limbs]), "first")


def rounds(timing: Timing) -> Found:
    """Time whole rounds, from the device's and from the host's memory."""
    sizes, found = timing.sizes, {}
    float32, float64 = (timing.predictions("uniform", dtype) for dtype in (np.float32, np.float64))
    tied = timing.predictions("five values", np.float32)
    pinned = timing.pinned(float32)
    cases: dict[str, tuple[Callable[[], Any], str, int]] = {
        "device, float32": (lambda: timing.engine.put(float32), "device", 20),
        "device, float64": (lambda: timing.engine.put(float64), "device", 20),
        "device, float32, five values": (lambda: timing.engine.put(tied), "device", 20),
        "device, float32, many draws": (
            lambda: timing.engine.put(float32),
            "device",
            sizes.many_draws,
        ),
        "pinned host, float32": (lambda: pinned, "bus", 20),
        "pinned host, float32, more users": (lambda: timing.pinned_rows(sizes.more), "bus", 20),
        "pageable host, float32": (lambda: float32, "bus", 20),
        "device, float32, more users": (lambda: timing.tiled(sizes.more), "device", 20),
        "device, float32, most users": (lambda: timing.tiled(sizes.most), "device", 20),
    }
    for name, (make, over, draws) in cases.items():
        try:
            found[name] = one_round(timing, make(), over, draws)
        except Exception as error:  # a part of the report: too little memory, say
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    found["score_round, float32 on the host"] = score_round_time(timing, float32)
    return found


def one_round(timing: Timing, block: Any, over: str, draws: int) -> Found:
    """Time a round; what the host holds is put on the device once, as in score_round."""
    rng = np.random.default_rng(1)
    users, stocks = block.shape
    blends = draws + 1  # the last is that of the full stakes
    weights = rng.random((blends, users)) * (rng.random((blends, users)) < 0.5)
    limbs = rng.integers(-(2**23), 2**23, (2, stocks)).astype(np.int32)

    plan = plan_of(block, weights, limbs)

    def run() -> Any:
        return timing.engine.score_round(plan)

    found = run()
    assert found is not None, "the round does not fit"
    if users <= timing.sizes.users and draws <= 20:
        host = timing.engine.get(block)
        moments = engine_round(NumpyEngine(), host, weights, limbs)
        target = Target("", limbs, -40, 1e30)
        own = target.product(found.own[:, :-1])
        probes = Probes(limbs, [target], found.own[:, -1], [own])
        expected = score_block(moments, probes, Method(draws=draws))
        np.testing.assert_array_equal(found.per_draw, expected.per_draw)
        np.testing.assert_array_equal(found.scores[-1], expected.corr_with_meta_model)
    timed = timing.seconds(run) | {"users": users, "stocks": stocks, "draws": draws}
    return timing.moved(timed, block.nbytes * (2 if over == "device" else 1), over)


def score_round_time(timing: Timing, block: Any) -> Found:
    """Time score_round from arrays on the host, every step of it, on each engine."""
    from mmc_gpu import score_round

    rng = np.random.default_rng(2)
    stakes, target = np.exp(rng.normal(1, 2, len(block))), rng.normal(size=block.shape[1])
    found: Found = {"digests": {}}
    for name in ("gpu", "cpu"):

        def run(name: str = name) -> Any:
            return score_round(block.T, stakes, target, engine=name)

        found["digests"][name] = run().digest
        found[name] = timing.seconds(run, on_gpu=name == "gpu")
    assert len(set(found["digests"].values())) == 1, found["digests"]
    return found
