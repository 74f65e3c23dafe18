"""`python -m benchmarks.gpu.host_time`: what Python takes of a round on the GPU, on any machine.

On a CUDA that costs nothing (`fake_cuda`), with kernels that cost nothing: what is left is the time
of CuPy, of the engine and of the round. A driver takes some more, a few microseconds a launch. Each
part is timed alone, as the time that its thread was at work: median and least of many calls, in
microseconds. Results are garbage, but for the checks of the predictions, which a round must pass.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from ctypes import POINTER, c_uint64, cast, memmove
from typing import Any

os.environ["CUPY_ACCELERATORS"] = ""  # CUB's kernels are compiled into CuPy: nobody can stand in

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
    print(json.dumps({"users": asked.users, "stocks": STOCKS, "python": platform.python_version()}))
    for name, found in times.items():
        print(f"{name:32} {found}")


def _extremes(name: bytes, *launch: Any) -> None:
    """Give the checks each row's least and greatest value; any other kernel does nothing."""
    word, values = name.decode(), launch[3]
    if word.startswith(("cupy_min", "cupy_max")):  # (array, result, ...): a pointer, then its size
        result = cast(values[1], POINTER(c_uint64))
        fill = LEAST if "min" in word else GREATEST
        made = np.full(result[1], fill, np.float32)
        memmove(result[0], made.ctypes.data, made.nbytes)


def make_parts(users: int) -> dict[str, Callable[[], object]]:
    """Return the parts that are timed, by name."""
    import cupy

    from benchmarks.large.gpu_timing import BLENDS, engine_round
    from mmc_gpu import score_round
    from mmc_gpu.engines import load_engine
    from mmc_gpu.rounds.method import Method
    from mmc_gpu.rounds.round import take_round
    from mmc_gpu.rounds.scoring import pool_of, score

    rng = np.random.default_rng(0)
    engine: Any = load_engine("gpu")
    block = cupy.empty((users, STOCKS), np.float32)
    weights = rng.random((BLENDS, users)) * (rng.random((BLENDS, users)) < 0.5)
    limbs = rng.integers(-(2**23), 2**23, (2, STOCKS)).astype(np.int32)
    given = block.T, np.exp(rng.normal(1, 2, users)), rng.normal(size=STOCKS)
    round_, method = take_round(*given), Method()
    return {
        "verbs of a round": lambda: engine_round(engine, engine.put(block), weights, limbs),
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
