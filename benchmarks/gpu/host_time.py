"""`python -m benchmarks.gpu.host_time`: what Python takes of a round on the GPU, on any machine.

On a CUDA that costs nothing (`fake_cuda`), with kernels that cost nothing: what is left is the time
of CuPy, of the engine and of the round. A driver takes some more, a few microseconds a launch. Each
part is timed alone, as the time that its thread was at work: median and least of many calls, in
microseconds. Results are garbage, but for the checks of the predictions, which a round must pass.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from ctypes import POINTER, c_float, c_uint32, c_uint64, cast
from typing import Any

import numpy as np

from benchmarks.gpu import fake_cuda

STOCKS = 5_000
LEAST, GREATEST = 0.1, 0.9


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.host_time", description=__doc__)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--profile", help="profile this part instead")
    asked = parser.parse_args(arguments)
    if reason := fake_cuda.missing():
        raise SystemExit(reason)
    fake_cuda.Machine(memory=8 << 30)
    fake_cuda.run_others(_extremes)
    parts = make_parts(asked.users)
    if asked.profile:
        profile(parts[asked.profile], asked.repeats)
        return
    times = {name: timed(run, asked.repeats) for name, run in parts.items()}
    times["a NaN"] = nan_is_found(asked.users)
    print(json.dumps({"users": asked.users, "stocks": STOCKS, "python": platform.python_version()}))
    for name, found in times.items():
        print(f"{name:32} {found}")


def _extremes(name: bytes, *launch: Any) -> None:
    """Give the checks each row's least and greatest value; any other kernel does nothing."""
    if name != b"rows_ends_f32":
        return
    places = [cast(launch[3][at], POINTER(c_uint64))[0] for at in range(4)]
    rows, stocks = (cast(launch[3][at], POINTER(c_uint32))[0] for at in (4, 5))
    ends = np.frombuffer((c_float * (2 * rows)).from_address(places[3]), np.float32)
    ends[:rows], ends[rows:] = LEAST, GREATEST
    if _looks[0]:
        block = np.frombuffer((c_float * (rows * stocks)).from_address(places[0]), np.float32)
        ends[:rows] = block.reshape(rows, stocks).min(axis=1)  # NaN where one is


_looks = [False]
"""Whether the checks see what the predictions are."""


def nan_is_found(users: int) -> str:
    """Return the error of a round whose predictions hold one NaN."""
    import cupy

    from mmc_gpu import RoundError, score_round

    predictions = np.random.default_rng(0).random((users, STOCKS), np.float32)
    predictions[users // 2, STOCKS // 3] = np.nan
    there = cupy.empty(predictions.shape, np.float32)
    there.set(predictions)
    _looks[0] = True
    try:
        score_round(there.T, np.ones(users), np.arange(float(STOCKS)), engine="gpu")
    except RoundError as error:
        return str(error)
    raise AssertionError("a NaN was not found")


def make_parts(users: int) -> dict[str, Callable[[], object]]:
    """Return the parts that are timed, by name."""
    import cupy

    from mmc_gpu import score_round
    from mmc_gpu.engines import load_engine
    from mmc_gpu.engines.protocol import RoundPlan
    from mmc_gpu.rounds.method import Method
    from mmc_gpu.rounds.round import take_round
    from mmc_gpu.rounds.scoring import pool_of, score

    rng = np.random.default_rng(0)
    engine: Any = load_engine("gpu")
    block = cupy.empty((users, STOCKS), np.float32)
    weights = rng.random((21, users)) * (rng.random((21, users)) < 0.5)
    limbs = rng.integers(-(2**23), 2**23, (2, STOCKS)).astype(np.int32)
    unit = np.array([[2.0, -40.0, 1e30]])
    plan = RoundPlan(block, weights, limbs, unit, "first", False, 0.0841, per_draw=False)
    given = block.T, np.exp(rng.normal(1, 2, users)), rng.normal(size=STOCKS)
    round_, method = take_round(*given), Method()
    return {
        "verbs of a round": lambda: engine.score_round(plan),
        "take_round": lambda: take_round(*given),
        "draws and weights": lambda: pool_of(round_, method),
        "score": lambda: score(round_, method, engine),
        "score_round": lambda: score_round(*given, engine="gpu"),
    }


def timed(run: Callable[[], object], repeats: int) -> str:
    """Return how long a call takes, after some that are not counted."""
    for _ in range(5):
        run()
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return f"{statistics.median(times) * 1e6:8.0f} us, least {min(times) * 1e6:8.0f}"


def profile(run: Callable[[], object], repeats: int) -> None:
    """Print where a part spends its time."""
    import cProfile
    import pstats

    timed(run, 1)
    with cProfile.Profile() as found:
        for _ in range(repeats):
            run()
    pstats.Stats(found).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
