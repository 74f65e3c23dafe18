"""Numerai's notebooks run with changed imports, and type checkers learn as much as before."""

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmc_gpu import metrics

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")
signals = pytest.importorskip("numerai_tools.signals")

PUBLIC = [
    (module, name)
    for module in (scoring, signals)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_every_function_is_there_with_the_same_arguments_in_the_same_order(module, name):
    theirs = inspect.signature(getattr(module, name)).parameters.values()
    ours = inspect.signature(getattr(metrics, name)).parameters.values()
    given_by_place = [one for one in ours if one.kind is not one.KEYWORD_ONLY]
    assert [(one.name, one.default) for one in given_by_place] == [
        (one.name, one.default) for one in theirs
    ]


@pytest.fixture
def validation():
    """Return a validation frame as the notebooks have it: ids in the index, features of int8."""
    rng = np.random.default_rng(5)
    size = 4 * 120
    features = {f"feature_{n}": rng.integers(0, 5, size).astype(np.int8) for n in range(6)}
    frame = pd.DataFrame(
        {"era": np.repeat(["0001", "0002", "0003", "0004"], 120), **features},
        pd.Index([f"n{n:05d}" for n in rng.permutation(size)], name="id"),
    )
    frame["target"] = rng.choice([0, 0.25, 0.5, 0.75, 1], size)
    frame["prediction"] = rng.random(size)
    frame["meta_model"] = rng.random(size)
    return frame


def hello_numerai(library, validation):
    """Score each era as the notebook hello_numerai does."""
    corr = validation.groupby("era").apply(
        lambda x: library.numerai_corr(x[["prediction"]].dropna(), x["target"].dropna())
    )
    mmc = (
        validation.dropna()
        .groupby("era")
        .apply(
            lambda x: library.correlation_contribution(
                x[["prediction"]], x["meta_model"], x["target"]
            )
        )
    )
    return pd.concat([corr, mmc], axis=1)


def feature_neutralization(library, validation):
    """Neutralize and score as the notebooks feature_neutralization and target_ensemble do."""
    names = [name for name in validation if name.startswith("feature_")]
    per_feature = validation.groupby("era").apply(
        lambda d: library.numerai_corr(d[names], d["target"])
    )
    per_feature *= np.sign(per_feature.mean())
    neutral = (
        validation.groupby("era", group_keys=True)
        .apply(lambda d: library.neutralize(d[["prediction"]], d[names[:3]]))
        .reset_index()
        .set_index("id")
    )
    scores = (
        validation.join(neutral["prediction"].rename("neutral"))
        .groupby("era")
        .apply(lambda d: library.numerai_corr(d[["prediction", "neutral"]], d["target"]))
    )
    return pd.concat([per_feature, scores], axis=1)


def signals_example(library, validation):
    """Score each date as the notebook of Signals does."""
    found = {}
    for era, group in validation.groupby("era"):
        neutralizers = group.filter(like="feature_") / 4
        given = group[["prediction"]], neutralizers, group["target"]
        found[era] = {
            "neutral": library.neutral_correlation(*given)["prediction"],
            "contribution": library.neutral_contribution(
                given[0], group["meta_model"], neutralizers, group["target"]
            )["prediction"],
        }
    return pd.DataFrame.from_dict(found, orient="index").sort_index()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("notebook", [hello_numerai, feature_neutralization, signals_example])
def test_a_notebook_runs_with_changed_imports(validation, notebook):
    found, expected = notebook(metrics, validation), notebook(scoring, validation)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)


TYPED = """
from typing import Any, assert_type
import numpy as np
import pandas as pd
from mmc_gpu import metrics as m

df, s, a = pd.DataFrame(), pd.Series([0.5]), np.ones(3)
assert_type(m.numerai_corr(df, s), "pd.Series[float]")
assert_type(m.numerai_corr(predictions=df, targets=s, top_bottom=200), "pd.Series[float]")
assert_type(m.numerai_corr(s, s, engine="cpu"), float)
assert_type(m.numerai_corr(a, a), Any)
assert_type(m.correlation_contribution(df, s, s, 200), "pd.Series[float]")
assert_type(m.neutral_contribution(df, s, df, s), "pd.Series[float]")
assert_type(m.contribution_scores(a, s, df), "pd.Series[float]")
assert_type(m.feature_neutral_corr(df, df, s), "pd.Series[float]")
assert_type(m.neutral_correlation(df, df, s), "pd.Series[float]")
assert_type(m.alpha(df, df, s, s), "pd.Series[float]")
assert_type(m.meta_portfolio_contribution(df, s, df, s, s), "pd.Series[float]")
assert_type(m.stake_weight(df, s), "pd.Series[float]")
assert_type(m.correlation(s, s), float)
assert_type(m.tie_broken_rank_correlation(s, s), float)
assert_type(m.spearman_correlation(target=s, predictions=df), "pd.Series[float]")
assert_type(m.pearson_correlation(s, s, 5), float)
assert_type(m.max_feature_correlation(s, df), tuple[str, float])
assert_type(m.sharpe_ratio(s), float)
assert_type(m.churn(s, s, 10), float)
assert_type(m.churn(df, df), "pd.Series[float]")
assert_type(m.neutral_churn(s, s, df, df), float)
assert_type(m.turnover(s, s), float)
assert_type(m.rank(df), pd.DataFrame)
assert_type(m.rank(s, "first"), "pd.Series[float]")
assert_type(m.power(df, 1.5), pd.DataFrame)
assert_type(m.center(s), "pd.Series[float]")
assert_type(m.neutralize(df, df, 0.5), pd.DataFrame)
assert_type(m.generate_neutralized_weights(df, df, s), pd.DataFrame)
assert_type(m.filter_sort_index(df, s), "tuple[pd.DataFrame, pd.Series[float]]")
assert_type(m.filter_sort_index_many([df, s]), list[Any])
assert_type(m.filter_sort_top_bottom(s, 2), "tuple[pd.Series[Any], pd.Series[Any]]")
assert_type(m.filter_sort_top_bottom_concat(s, 2), "pd.Series[Any]")
assert_type(m.one_hot_encode(df, ["a"]), pd.DataFrame)
m.numerai_corr(df, s, top_bottom="200")  # type: ignore[call-overload]
m.numerai_corr(df)  # type: ignore[call-overload]
"""


@pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None or importlib.util.find_spec("pandas-stubs") is None,
    reason="the extra `dev` has mypy and pandas-stubs",
)
def test_a_type_checker_learns_what_comes_back(tmp_path):
    (tmp_path / "typed.py").write_text(TYPED)
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", root / "pyproject.toml", "--cache-dir",
         tmp_path / "cache", tmp_path / "typed.py"],
        capture_output=True, text=True, cwd=root,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
