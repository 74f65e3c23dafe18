"""Every row of the table of metrics holds in `evaluate`, and is told wherever metrics are told."""

import re
import subprocess
import sys
from functools import cache
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import typer
from metric_table import README, filled

from mmc_gpu import evaluate, metrics
from mmc_gpu.cli.app import app
from mmc_gpu.eras.metrics import METRICS, Metric, Need

ROWS = pytest.mark.parametrize("row", METRICS.values(), ids=list(METRICS))

GIVEN = {
    "target": "target",
    "meta_model": "meta",
    "benchmarks": ["bench_0", "bench_1"],
    "features": ["feature_0", "feature_1"],
}
"""How each column that a metric may need is given to `evaluate`."""

MODELS = ["model_0", "model_1", "model_2"]
GAP = ("era2", "model_1")
"""The era and the model of the prediction that is missing in the frame with a gap."""


@cache
def make_frame(gap=False):
    rng = np.random.default_rng(7)
    ids = [f"n{number:04d}" for number in range(1_010)]  # 500 at each end, and some between
    frames = []
    for era in ("era1", "era2", "era3"):
        frame = pd.DataFrame({"era": era}, index=pd.Index(ids, name="id"))
        frame["target"] = rng.choice([0, 0.25, 0.5, 0.75, 1], len(ids))
        for name in [*MODELS, "meta", *GIVEN["benchmarks"], *GIVEN["features"]]:
            frame[name] = rng.random(len(ids)) + 0.2 * frame["target"]
        frames.append(frame)
    frame = pd.concat(frames)
    if gap:
        frame.loc[(frame["era"] == GAP[0]) & (frame.index == "n0003"), GAP[1]] = np.nan
    return frame


@pytest.fixture(scope="module")
def small():
    """A frame whose scores nobody looks at."""
    return make_frame()[::10]


@pytest.fixture(scope="module")
def usual(small):
    """The names of the scores that are computed unasked."""
    return set(evaluate(small, **GIVEN, models=MODELS, engine="numpy").scores)


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "gap"])
def evaluated(engine, request):
    """Return the scores by all metrics, and whether a prediction is missing."""
    given = dict(GIVEN, models=MODELS, metrics=list(METRICS), engine=engine)
    return evaluate(make_frame(request.param), **given), request.param


def names_of(row: Metric) -> list[str]:
    """Return the names of a metric's scores."""
    return [row.each.format(name) for name in GIVEN["benchmarks"]] if row.each else [row.name]


def test_every_model_has_a_finite_score_unless_it_misses_a_prediction(evaluated):
    evaluation, gap = evaluated
    for name, row in ((name, of) for of in METRICS.values() for name in names_of(of)):
        compares = "previous era" in row.needs
        eras = evaluation.labels[1:] if compares else evaluation.labels
        lost = {(era, GAP[1]) for era in ("era2", "era3")[: 1 + compares]} if gap else set()
        scores = pd.DataFrame(evaluation.scores[name][0], evaluation.labels, evaluation.models)
        absent = {(era, model) for era in eras for model in scores if np.isnan(scores[model][era])}
        faults = [fault for fault, names in evaluation.faulted.items() if name in names]
        assert absent == lost == {(fault.era, fault.model) for fault in faults}, name
        assert {fault.code for fault in faults} <= {"prediction-missing"}, name
        assert not np.isinf(scores).any(axis=None), name
        assert not compares or scores.loc["era1"].isna().all(), name


@ROWS
def test_a_metric_needs_what_its_row_says_and_nothing_else(row, small):
    columns = [need for need in row.needs if need in GIVEN]
    given = {"target": None} | {need: GIVEN[need] for need in columns}
    options = {"models": MODELS, "metrics": [row.name], "engine": "numpy"}
    assert set(evaluate(small, **given, **options).scores) == set(names_of(row))
    for need in columns:
        without = given | {need: None if need in ("target", "meta_model") else ()}
        with pytest.raises(ValueError, match=f"metric {row.name}: give {need}$"):
            evaluate(small, **without, **options)


def test_a_metric_is_computed_unasked_unless_its_row_says_otherwise(usual):
    asked = {row.name for row in METRICS.values() if set(names_of(row)).isdisjoint(usual)}
    assert asked == {row.name for row in METRICS.values() if row.asked}


@ROWS
def test_a_row_is_sane(row):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", row.name)
    assert set(row.needs) <= set(get_args(Need))
    assert len(set(row.needs)) == len(row.needs)
    assert row.better in ("higher", "lower", "neither")
    assert row.better == "higher" or not row.return_like  # returns are better the higher they are
    assert row.sentence.endswith(".")
    assert row.sentence.count(".") == 1
    assert bool(row.each) == ("{}" in row.each)
    assert not row.each or "benchmarks" in row.needs
    (function,) = re.findall(r"`(\w+)`", row.sentence)
    assert callable(getattr(metrics, function))


def test_a_metric_stands_wherever_metrics_are_told():
    (option,) = [parameter for parameter in typer.main.get_command(app).commands["evaluate"].params
                 if parameter.name == "metric"]  # fmt: skip
    usual, asked = option.help.split("; and only where named: ")
    for row in METRICS.values():
        assert f"\n        {row.line}\n" in evaluate.__doc__
        assert row.name in re.findall(r"\w+", asked if row.asked else usual)


def test_the_readme_has_the_table_of_the_rows():
    text = README.read_text("utf-8")
    assert filled(text) == text, "run: python tests/eras/metric_table.py"


IMPORTED = """
import sys
import mmc_gpu.eras.metrics
rows = {"numpy", "pandas", "scipy", "pyarrow"} & set(sys.modules)
mmc_gpu.evaluate
evaluate = {"numba", "pandas", "scipy", "pyarrow"} & set(sys.modules)
import mmc_gpu.eras.training
training = {"lightgbm", "xgboost"} & set(sys.modules)
print([*rows], [*evaluate], [*training])
"""


def test_nothing_heavy_is_imported_before_it_is_needed():
    """Neither for the rows of the table, nor for `evaluate`; and for training neither library."""
    command = [sys.executable, "-c", IMPORTED]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] [] []"
