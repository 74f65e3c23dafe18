"""Models over eras: every era's scores and their summary, beside numerblox's evaluator.

A case's users are models, its stocks the rows of an era, its draws eras. `core` is what both
compute: CORR and its mean, deviation, Sharpe, smart Sharpe and drawdown; the CORR of 2020;
contribution to and correlation with one benchmark; the largest feature exposure. `all of core` is
the whole of numerblox's CORE_METRICS, which has besides them a legacy contribution, exposure
dissimilarities and yearly yields; only numerblox computes it.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import engines, fast_engines
from mmc_gpu import evaluate

NUMERBLOX = "numerblox"
CORE, ALL_OF_CORE = "core", "all of core"

_METRICS = ["corr", "corr20", "bmc_each", "corr_with", "max_feature_exposure"]
_THEIRS = [
    "mean_std_sharpe",
    "max_drawdown",
    "smart_sharpe",
    "legacy_mean_std_sharpe",
    "mc_mean_std_sharpe",
    "corr_with",
    "max_feature_exposure",
]
_FEATURES = 10
_SHAPES = {"tiny": (3, 60, 4), "quick": (20, 1000, 20), "full": (20, 5000, 20)}
"""Models, rows of an era, eras."""

_SAME = {
    "mean": ("corr", "mean"),
    "std": ("corr", "std"),
    "sharpe": ("corr", "sharpe"),
    "smart_sharpe": ("corr", "smart_sharpe"),
    "legacy_mean": ("corr20", "mean"),
    "legacy_std": ("corr20", "std"),
    "mc_mean_bench": ("bmc_bench", "mean"),
    "mc_std_bench": ("bmc_bench", "std"),
    "max_feature_exposure": ("max_feature_exposure", "mean"),
}
"""Numerblox's columns, and our scores and statistics. Its drawdown compounds, and its correlation
with a benchmark is the benchmark's with itself."""


def entries(size: Size) -> Iterator[Entry]:
    users, stocks, eras = _SHAPES[size]
    case = Case(users, stocks, eras)
    against = NUMERBLOX if find_spec(NUMERBLOX) else "numpy"
    for name in dict.fromkeys([*fast_engines(), "numpy"]):
        yield Entry(case, name, CORE, against, turns=1 if size == "tiny" else 7)
    if find_spec(NUMERBLOX):
        for part in (CORE, ALL_OF_CORE):
            yield Entry(case, NUMERBLOX, part, NUMERBLOX, turns=1 if size == "tiny" else 3)


def bench_evaluate(entry: Entry, measure: Measure) -> None:
    assert_same(entry.case)
    warm_up = 0 if entry.competitor == NUMERBLOX else 1
    measure(_evaluator(entry.competitor, entry.part, entry.case), warm_up)


@lru_cache(maxsize=1)
def assert_same(case: Case) -> None:
    """Assert that engines agree to the bit where sums are canonical, and numerblox to 1e-9."""
    found = {name: _evaluator(name, CORE, case)() for name in engines()}
    first = found["numpy"]
    for name, evaluation in found.items():
        for score in _METRICS[:2]:
            np.testing.assert_array_equal(
                evaluation.scores[score], first.scores[score], err_msg=name
            )
    if find_spec(NUMERBLOX):
        theirs = _evaluator(NUMERBLOX, CORE, case)()
        own = first.to_pandas().query("against == ''").set_index(["score", "model"])
        for column, (score, statistic) in _SAME.items():
            ours = own.loc[score][statistic].reindex(theirs.index)
            np.testing.assert_allclose(ours, theirs[column], 1e-9, 1e-12, err_msg=column)


def _evaluator(name: str, part: str, case: Case) -> Callable[[], Any]:
    frame = make_frame(case)
    models = [f"model_{model}" for model in range(case.users)]
    if name == NUMERBLOX:
        return lambda: _numerblox(frame, models, part)

    def ours() -> Any:
        evaluation = evaluate(
            frame,
            models=models,
            benchmarks=["bench"],
            features=["feature_*"],
            metrics=_METRICS,
            engine=name,
        )
        evaluation.to_pandas()
        return evaluation

    return ours


def _numerblox(frame: pd.DataFrame, models: list[str], part: str) -> pd.DataFrame:
    from numerblox.evaluation import CORE_METRICS, NumeraiClassicEvaluator

    wanted = _THEIRS if part == CORE else CORE_METRICS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = NumeraiClassicEvaluator(metrics_list=wanted)
        return evaluator.full_evaluation(frame, models, "target", ["bench"])


@lru_cache(maxsize=1)
def make_frame(case: Case) -> pd.DataFrame:
    """Return seeded eras of models that know a little of the target."""
    rng = np.random.default_rng(np.random.Philox(0))
    rows = case.draws * case.stocks
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    names = [*(f"model_{model}" for model in range(case.users)), "bench"]
    columns: dict[str, Any] = {
        "era": np.repeat([f"{n:04d}" for n in range(case.draws)], case.stocks)
    }
    columns["target"] = target
    columns |= {name: (rng.random(rows) + 0.02 * target) / 1.02 for name in names}
    for feature in range(_FEATURES):
        columns[f"feature_{feature}"] = rng.integers(0, 5, rows).astype(np.float32) / 4
    return pd.DataFrame(columns, index=[f"n{n:07d}" for n in rng.permutation(rows)])
