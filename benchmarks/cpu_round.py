"""Times a whole round of the CPU engine beside NumPy's closed form, on the same cores in one run.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python -m benchmarks.cpu_round

A round is what scoring asks of an engine: the blends of 20 draws and of the full stakes, their
ranks, and every user's moments with them and with the target's two limbs. Its scores must equal
the closed form's before a time is printed. (Where an environment sets those two variables, they
slow the closed form's matrix products.)
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.closed_form import closed_form
from mmc_gpu.arrays import Floats, Numbers
from mmc_gpu.draws import draw_counts, draw_weights
from mmc_gpu.engines import Engine, load_engine

DRAWS, SCALE = 20, 0.0841

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "uniform": lambda random, shape: random.random(shape),
    "logistic": lambda random, shape: random.logistic(size=shape),
    "five values": lambda random, shape: random.integers(0, 5, shape) / 4,
    "two decimals": lambda random, shape: random.random(shape).round(2),
    "sorted": lambda random, shape: np.sort(random.random(shape)),
    "reversed": lambda random, shape: np.sort(random.random(shape))[:, ::-1].copy(),
    "constant but one": lambda random, shape: np.full(shape, 0.5) + np.eye(1, shape[1], 9),
    "Cauchy": lambda random, shape: random.standard_cauchy(shape),
    "lognormal": lambda random, shape: random.lognormal(size=shape),
    "two clusters": lambda random, shape: (
        random.integers(0, 2, shape) + 1e-9 * random.random(shape)
    ),
    "five values and ulps": lambda random, shape: (
        random.integers(0, 5, shape) / 4 + 1e-16 * random.integers(0, 4, shape)
    ),
}


def score(
    engine: Engine, predictions: Numbers, stakes: Floats, targets: Floats
) -> tuple[Floats, list[float]]:
    """Return every user's MMC, and the seconds that combine, rank and moments took.

    The targets are whole numbers of 1/8 here, so that their limbs need no rounding.
    """
    stocks = predictions.shape[1]
    scaled = (targets * 8).astype(np.int64) << 26
    limbs = np.stack([scaled >> 24, (scaled & 0xFFFFFF) - 2**23]).astype(np.int32)
    counts = np.vstack([draw_counts(len(stakes), DRAWS), np.ones((1, len(stakes)), np.int64)])
    weights = draw_weights(stakes, counts)
    zeros = np.zeros((DRAWS + 1, stocks))
    times = [time.perf_counter()]
    blends = engine.combine(zeros, engine.put(predictions), weights)
    times.append(time.perf_counter())
    meta_models = engine.get(engine.rank(blends, "first"))
    times.append(time.perf_counter())
    moments = engine.moments(engine.put(predictions), np.vstack([meta_models, limbs]), "first")
    times.append(time.perf_counter())
    target = np.ldexp(moments[:, -3].astype(float), 24) + moments[:, -2]
    meta_target = meta_models[:DRAWS].astype(np.int64) @ scaled
    variance = stocks * (stocks**2 - 1) // 3
    mmc = (target[:, None] - moments[:, :DRAWS] * (meta_target / variance)).mean(axis=1)
    seconds = [after - before for before, after in itertools.pairwise(times)]
    return mmc / (2 * stocks * (stocks - 1) * SCALE * 2**29), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--stocks", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--dtypes", nargs="*", default=["float64", "float32"])
    options = parser.parse_args()
    random = np.random.default_rng(0)
    stakes = random.lognormal(3, 2, options.users)
    targets = random.integers(0, 5, options.stocks) / 4
    engine = load_engine("cpu")
    print("| data | closed form | cpu engine | ratio | combine | rank | moments |")
    print("|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        made = KINDS[kind](random, (options.users, options.stocks))
        for dtype in options.dtypes:
            predictions = made.astype(dtype)
            expected = closed_form(predictions, stakes, targets, DRAWS, scale=SCALE)
            mmc, _ = score(engine, predictions, stakes, targets)
            np.testing.assert_allclose(mmc, expected, atol=1e-12)
            closed, rounds = [], []
            for _ in range(options.repeats):
                start = time.perf_counter()
                closed_form(predictions, stakes, targets, DRAWS)
                closed.append(1e3 * (time.perf_counter() - start))
                rounds += [
                    1e3 * np.array(score(engine, predictions, stakes, targets)[1]) for _ in range(3)
                ]
            ours, theirs = statistics.median(map(sum, rounds)), statistics.median(closed)
            parts = " | ".join(f"{part:.1f}" for part in np.median(rounds, axis=0))
            print(
                f"| {kind}, {dtype} | {theirs:.0f} | {ours:.0f} | {theirs / ours:.1f} | {parts} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
