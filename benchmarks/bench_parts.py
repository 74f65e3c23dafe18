"""The parts of a round, each against reading the predictions once or NumPy's bare sort.

`round` is the whole round, from arrays: validation, blend, moments (each user ranked and multiplied
in one pass), and the algebra. Besides, `alignment` is validation of a frame whose ids and users
stand in another order, with every block put in order once; `rank` is the first step of `moments`;
`by stocks` is the whole round from an array that is contiguous along the users, `from a frame` the
whole round from the frame of `alignment`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cases import Case, Size, make_round
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import engines, fast_engines, scorer
from mmc_gpu import load_engine
from mmc_gpu.api import score_round
from mmc_gpu.engines import Engine
from mmc_gpu.engines.ahead import fetched
from mmc_gpu.engines.arrays import Numbers, Ranks
from mmc_gpu.engines.selection import copied
from mmc_gpu.engines.threads import thread_count
from mmc_gpu.rounds.algebra import Target
from mmc_gpu.rounds.draws import draw_counts, draw_weights
from mmc_gpu.rounds.round import Round, take_round

READ, READ_STAKERS, SORT = "read", "read stakers", "sort"
"""The yardsticks: all predictions read once, the stakers' only, each row sorted by `numpy.sort`; on
all cores."""

YARDSTICKS = {
    "validation": READ,
    "alignment": READ,
    "blend": READ_STAKERS,
    "rank": SORT,
    "moments": SORT,
    "round": SORT,
    "by stocks": SORT,
    "from a frame": SORT,
}
"""The parts, and what each is compared with."""

INSIDE = ("validation", "blend", "moments")
"""What a round from arrays consists of, but for the algebra."""

_SHAPES = {"tiny": (40, 60), "quick": (1000, 5000), "full": (5000, 5000)}


def entries(size: Size) -> Iterator[Entry]:
    users, stocks = _SHAPES[size]
    for dtype in ("float64", "float32"):
        case = Case(users, stocks, dtype=dtype)
        turns = 1 if size == "tiny" else 7
        for yardstick in (READ, READ_STAKERS, SORT):
            yield Entry(case, yardstick, "yardstick", against=yardstick, turns=turns)
        for name in fast_engines():
            for part, yardstick in YARDSTICKS.items():
                yield Entry(case, name, part, against=yardstick, turns=turns)


def bench_part(entry: Entry, measure: Measure) -> None:
    assert_parts_agree(entry.case)
    if entry.part == "yardstick":
        moved = make_round(entry.case).predictions
        if entry.competitor == READ_STAKERS:
            moved = moved[: _taken(entry.case).stakers]
        run = sort if entry.competitor == SORT else read
        measure(lambda: on_all_cores(run, moved), bytes=moved.nbytes)
    else:
        measure(_part(entry.part, entry.case, load_engine(entry.competitor)))


@lru_cache(maxsize=1)
def assert_parts_agree(case: Case) -> None:
    """Assert that the engines' blends, ranks and moments have the same bits."""
    for part in ("blend", "rank", "moments"):
        first = None
        for name in engines():
            engine = load_engine(name)
            found = engine.get(_part(part, case, engine)())
            first = found if first is None else first
            np.testing.assert_array_equal(found, first)


def _part(part: str, case: Case, engine: Engine) -> Callable[[], Any]:
    """Return a function that runs one part of a case's round and ends with a result on the host."""
    round_ = make_round(case)
    if part == "round":
        return scorer(engine.name, case)
    if part == "validation":
        return lambda: _take(round_.predictions.T, case)
    if part == "by stocks":
        by_stocks = np.ascontiguousarray(round_.predictions.T)
        return lambda: score_round(by_stocks, round_.stakes, round_.target, engine=engine)
    if part in ("alignment", "from a frame"):
        inputs = (
            _shuffled(case),
            pd.Series(round_.stakes, index=_names(case.users)),
            pd.Series(round_.target, index=_names(case.stocks)),
        )
        if part == "from a frame":
            return lambda: score_round(*inputs, engine=engine)
        return lambda: [len(copied(block)) for _, block in take_round(*inputs).blocks()]
    if part == "blend":
        return lambda: _blend(case, engine)
    if part == "rank":
        return lambda: engine.get(engine.rank(engine.put(round_.predictions), "first"))
    probes = _probes(case)
    return lambda: engine.moments(engine.put(round_.predictions), probes, "first")


def _take(predictions: Numbers, case: Case) -> Round:
    round_ = make_round(case)
    return take_round(predictions, round_.stakes, round_.target)


@lru_cache(maxsize=1)
def _taken(case: Case) -> Round:
    return _take(make_round(case).predictions.T, case)


def _blend(case: Case, engine: Engine) -> Numbers:
    """Return the blends of all draws and of the full stakes, stakers fetched as `score` does."""
    taken = _taken(case)
    everyone = np.ones((1, taken.stakers), np.int64)
    counts = np.concatenate([draw_counts(taken.stakers, case.draws), everyone])
    weights = draw_weights(taken.stakes[: taken.stakers], counts)
    blend = engine.zeros(len(weights), case.stocks)
    for places, block in fetched(taken.predictions, taken.staker_blocks(), engine):
        blend = engine.combine(blend, engine.put(block), weights[:, places])
    return engine.get(blend)


@lru_cache(maxsize=1)
def _probes(case: Case) -> Ranks:
    engine = load_engine("numpy")
    meta_models = engine.rank(_blend(case, engine), "first")
    target = Target.of("target", make_round(case).target)
    return np.concatenate([meta_models, target.limbs])


@lru_cache(maxsize=1)
def _shuffled(case: Case) -> pd.DataFrame:
    """Return the predictions as a frame whose ids and users stand in another order."""
    rng = np.random.default_rng(np.random.Philox(1))
    ids, users = (rng.permutation(_names(count)) for count in (case.stocks, case.users))
    return pd.DataFrame(make_round(case).predictions.T, index=ids, columns=users, copy=False)


def _names(count: int) -> list[str]:
    return [f"n{number:06d}" for number in range(count)]


def read(block: Numbers) -> None:
    """Read every value of a block once."""
    block.reshape(-1).view(np.int64).max()  # of integers: NumPy's fastest way to touch every byte


def sort(block: Numbers) -> None:
    """Sort every row of a block."""
    np.sort(block, axis=1)


def on_all_cores(function: Callable[[Numbers], None], matrix: Numbers) -> None:
    """Call a function on blocks of rows, on as many threads as there are cores."""
    rows = max(1, 2**21 // matrix[0].nbytes)
    blocks = [matrix[start : start + rows] for start in range(0, len(matrix), rows)]
    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(function, blocks))
