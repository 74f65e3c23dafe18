"""A function of one's own is a metric: its row stands in every table, and nothing is swallowed."""

import functools
import json

import numpy as np
import pandas as pd
import pytest

from mmc_gpu import evaluate, metrics
from mmc_gpu.cluster import Cluster
from mmc_gpu.errors import RoundError
from mmc_gpu.files.results.eras import make_receipt, read_evaluation, write_evaluation

pl = pytest.importorskip("polars", reason="the extra `test` has polars")
scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")

IDS = [f"n{number:03d}" for number in range(60)]
ERAS = ["era1", "era2", "era3"]


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    one = pd.concat([pd.DataFrame({"era": era}, pd.Index(IDS, name="id")) for era in ERAS])
    for name in ("a", "b", "meta"):
        one[name] = rng.random(len(one))
    one["target"] = rng.choice([0, 0.25, 0.5, 0.75, 1], len(one))
    one["returns"] = rng.normal(size=len(one))
    return one.sample(frac=1, random_state=1)


def top_mean(predictions, target):
    """Return the mean target of each model's 5 highest stocks."""
    return {name: target[predictions[name].nlargest(5).index].mean() for name in predictions}


def by_hand(frame, function, target="target"):
    """Return a function's values, era by era."""
    found = []
    for _, era in frame.groupby("era"):
        rows = era.sort_index().dropna(subset=target)
        found.append(function(rows[["a", "b"]], rows[target]))
    return pd.DataFrame(found, ERAS)


def evaluated(frame, *functions, **options):
    given = {"models": ["a", "b"], "metrics": list(functions), "engine": "numpy"} | options
    return evaluate(frame, **given)


def test_a_function_has_its_row_in_every_table(frame, tmp_path):
    found = evaluated(frame, "corr", top_mean)
    assert list(found.scores) == ["corr", "top_mean"]
    np.testing.assert_allclose(found.scores["top_mean"][0], by_hand(frame, top_mean))
    assert "top_mean" in found.eras
    assert "top_mean" in set(found.summary["score"])
    assert "top_mean" in found.report(tmp_path / "page.html").read_text()


def test_numerai_tools_own_function_and_a_renamed_part_of_it_are_metrics(frame):
    strict = functools.partial(scoring.numerai_corr, top_bottom=10)
    strict.__name__ = "corr_tb10"
    found = evaluated(frame, scoring.numerai_corr, strict, "corr")
    np.testing.assert_allclose(found.scores["numerai_corr"], found.scores["corr"], atol=1e-12)
    ends = by_hand(frame, functools.partial(metrics.numerai_corr, top_bottom=10))
    np.testing.assert_allclose(found.scores["corr_tb10"][0], ends, atol=1e-12)


def test_each_target_is_given_with_its_rows(frame):
    frame.loc[(frame["era"] == "era2") & (frame.index < "n010"), "returns"] = np.nan
    seen = []

    def count(predictions, target):
        assert predictions.index.equals(target.index)
        assert target.notna().all()
        seen.append((target.name, len(target)))
        return [len(target)] * predictions.shape[1]

    found = evaluated(frame, count, target=["target", "returns"])
    assert seen.count(("target", 60)) == 3
    assert seen.count(("returns", 60)) == 2
    assert seen.count(("returns", 50)) == 1
    assert found.scores["count"][1, 1].tolist() == [50, 50]


def test_polars_and_frames_without_ids_are_given_as_pandas(frame):
    expected = evaluated(frame, top_mean).scores["top_mean"]
    polars = pl.from_pandas(frame.reset_index())
    np.testing.assert_array_equal(evaluated(polars, top_mean).scores["top_mean"], expected)
    ordered = frame.sort_index().reset_index(drop=True)
    np.testing.assert_array_equal(evaluated(ordered, top_mean).scores["top_mean"], expected)


def test_a_function_cannot_change_what_others_see(frame):
    def spoil(predictions, target):
        predictions.iloc[:, :] = 0.0
        target.iloc[:] = 0.0
        return [1.0, 1.0]

    found = evaluated(frame, spoil, "corr", top_mean)
    alone = evaluated(frame, "corr", top_mean)
    for name in alone.scores:
        np.testing.assert_array_equal(found.scores[name], alone.scores[name])


def test_a_model_that_misses_a_prediction_is_not_given(frame):
    frame.loc[(frame["era"] == "era2") & (frame.index == "n007"), "a"] = np.nan
    seen = []

    def names(predictions, target):
        seen.append(list(predictions))
        return np.ones(predictions.shape[1])

    found = evaluated(frame, names)
    assert seen == [["a", "b"], ["b"], ["a", "b"]]
    assert np.isnan(found.scores["names"][0]).tolist() == [[False] * 2, [True, False], [False] * 2]
    (fault,) = found.faulted
    assert (fault.era, fault.model, fault.code) == ("era2", "a", "prediction-missing")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e160, -1e75])
def test_a_number_that_is_none_or_has_no_square_is_a_missing_score_with_a_reason(frame, value):
    def odd(predictions, target):
        return np.ma.masked_equal([value, 0.5], -1.0)

    found = evaluated(frame, odd)
    assert np.isnan(found.scores["odd"][0, :, 0]).all()
    assert (found.scores["odd"][0, :, 1] == 0.5).all()
    assert {(fault.model, fault.code) for fault in found.faulted} == {("a", "score-undefined")}
    assert found.standing("odd").models == ["a", "b"]


@pytest.mark.parametrize("size", [1e80, 1e300])
def test_a_contribution_too_large_to_be_compared_is_missing_with_a_reason(frame, size, tmp_path):
    frame["huge"] = frame["returns"] * size
    found = evaluated(frame, "corr", "mmc", target=["returns", "huge"], meta_model="meta")
    assert np.isnan(found.scores["mmc"][1]).all()
    assert not np.isnan(found.scores["mmc"][0]).any()
    assert not np.isnan(found.scores["corr"]).any()
    assert {(of.target, of.code) for of in found.faulted} == {("huge", "score-undefined")}
    assert len(found.uncertainty)
    assert found.report(tmp_path / "page.html").is_file()


@pytest.mark.parametrize("value", [9e74, 5e-324])
def test_large_and_tiny_numbers_are_compared_and_shown(frame, value, tmp_path):
    def odd(predictions, target):
        return pd.Series({"b": value, "a": -value / 2})

    found = evaluated(frame, odd)
    assert found.standing("odd").order[0] == found.models.index("b")
    assert found.report(tmp_path / "page.html").is_file()


def test_what_a_function_raises_is_told_with_its_place(frame):
    def broken(predictions, target):
        return predictions["no such column"]

    with pytest.raises(KeyError) as caught:
        evaluated(frame, broken)
    assert caught.value.__notes__ == ["metric broken, era era1"]


def test_a_round_error_of_a_function_is_a_fault_of_the_era(frame):
    def picky(predictions, target):
        raise RoundError("score-undefined", "none today")

    found = evaluated(frame, picky)
    assert np.isnan(found.scores["picky"]).all()
    assert {(fault.model, fault.detail) for fault in found.faulted} == {("*", "none today")}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, "2 numbers, one a model, not a value of type NoneType"),
        (0.5, r"not a value of type float, of shape \(\)"),
        ([0.5], r"not a value of type list, of shape \(1,\)"),
        (np.ones((2, 2)), r"not a value of type ndarray, of shape \(2, 2\)"),
        ({"a": 1.0}, "not so for 'b'"),
        (pd.Series({"a": 1.0, "b": 2.0, "c": 3.0}), "not so for 'c'"),
        (pd.Series([1.0, 2.0], ["a", "a"]), "not so for 'b'"),
    ],
    ids=str,
)
def test_results_of_another_shape_are_refused(frame, result, told):
    def odd(predictions, target):
        return result

    with pytest.raises(ValueError, match=f"odd: .*{told}"):
        evaluated(frame, odd)


def test_one_model_may_have_one_number(frame):
    def one(predictions, target):
        return 0.25

    assert (evaluated(frame, one, models=["a"]).scores["one"] == 0.25).all()


def corr(predictions, target):
    return [0.0, 0.0]


def model(predictions, target):
    return [0.0, 0.0]


@pytest.mark.parametrize(
    ("functions", "told"),
    [
        ([lambda predictions, target: [0.0, 0.0]], "has no name; write `def my_metric"),
        ([functools.partial(top_mean)], "has no name"),
        ([corr], "corr is taken"),
        ([model], "model is taken"),
        ([top_mean, top_mean], "two are called top_mean"),
    ],
    ids=["lambda", "partial", "a metric's", "a column's", "twice"],
)
def test_names_that_others_have_are_refused(frame, functions, told):
    with pytest.raises(ValueError, match=told):
        evaluated(frame, *functions)


def test_a_function_needs_a_target(frame):
    with pytest.raises(ValueError, match="metric top_mean: give target"):
        evaluated(frame, top_mean, target=None)


def test_a_cluster_refuses_a_function_by_its_name(frame, tmp_path):
    file = tmp_path / "eras.parquet"
    frame.sort_values("era").to_parquet(file)
    with pytest.raises(ValueError, match=r"none of one's own: \['top_mean'\]"):
        evaluated(file, top_mean, cluster=Cluster("local"))


def test_the_receipt_names_it_and_the_result_is_read_back(frame, tmp_path):
    found = evaluated(frame, "corr", top_mean)
    assert make_receipt(found)["own_metrics"] == ["top_mean"]
    write_evaluation(tmp_path / "out", found, "csv", {"inputs": (), "parameters": {}}, report=True)
    assert json.loads((tmp_path / "out" / "receipt.json").read_text())["own_metrics"] == [
        "top_mean"
    ]
    back, _ = read_evaluation(tmp_path / "out")
    np.testing.assert_array_equal(back.scores["top_mean"], found.scores["top_mean"])


def test_stakes_behind_benchmarks_give_the_bmc_of_the_leaderboard(engine, frame):
    rng = np.random.default_rng(9)
    names = ["lgbm", "ridge", "unstaked"]
    for name in names:
        frame[name] = rng.random(len(frame)) * rng.integers(1, 5)
    stakes = pd.Series([3.0, 0.5, 0.0], names)
    given = {"benchmarks": names, "models": ["a", "b"], "metrics": ["bmc"], "engine": engine}
    found = evaluate(frame, benchmark_stakes=stakes, **given)
    plain = evaluate(frame, **given)
    for number, (_, era) in enumerate(frame.groupby("era")):
        rows = era.sort_index()
        meta = scoring.stake_weight(rows[names], stakes)
        models = rows[["a", "b", *names]]
        expected = scoring.correlation_contribution(models, meta, rows["target"])
        np.testing.assert_allclose(found.scores["bmc"][0, number], expected, atol=1e-12)
    assert not np.allclose(found.scores["bmc"], plain.scores["bmc"])
    assert evaluate(frame, benchmark_stakes=dict(stakes[::-1]), **given).summary.equals(
        found.summary
    )


@pytest.mark.parametrize(
    ("stakes", "told"),
    [
        ({"lgbm": 1.0}, "'ridge': one for each benchmark"),
        ({"lgbm": 1.0, "ridge": 1.0, "a": 1.0}, "'a': one for each benchmark"),
        ({"lgbm": 0.0, "ridge": 0.0}, r"\[stake-none\]"),
        ({"lgbm": -1.0, "ridge": 1.0}, r"\[stake-invalid\]"),
    ],
    ids=str,
)
def test_stakes_that_do_not_fit_the_benchmarks_are_refused(frame, stakes, told):
    data = frame.assign(lgbm=frame["a"], ridge=frame["b"])
    with pytest.raises(RoundError, match=told):
        evaluate(data, models=["a"], benchmarks=["lgbm", "ridge"], benchmark_stakes=stakes,
                 metrics=["bmc"])  # fmt: skip
