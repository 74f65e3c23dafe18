"""Models over eras: against the metric functions, numerai-tools and literal statistics.

Long, because one made-up history serves all of it.
"""

import gc
import json
import subprocess
import sys
import weakref
from functools import cache, partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmc_gpu
from mmc_gpu import RoundError, evaluate, load_engine, metrics
from mmc_gpu.files.results.eras import ERA_FILES
from mmc_gpu.metrics import neutral
from mmc_gpu.metrics.summary import summaries

pl = pytest.importorskip("polars", reason="the extra `test` has polars")
scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")
signals = pytest.importorskip("numerai_tools.signals", reason="the extra `test` has numerai-tools")

SIZES = {"era1": 60, "era2": 45, "era9": 80, "era10": 52}
"""Rows of each era, in ascending order."""

MODELS = ["model_0", "model_1", "model_2", "bench_0", "bench_1"]
PARTS = {
    "meta_model": "meta",
    "benchmarks": ["bench_*"],
    "features": ["feature_*"],
    "engine": "numpy",
}
ALL = [
    "corr", "corr20", "spearman", "mmc", "bmc", "bmc_each", "fnc", "cwmm", "corr_with",
    "max_feature_exposure", "neutral_corr", "neutral_mmc", "mcwnm", "apcwnm",
]  # fmt: skip
USUAL = ALL[:10]
"""What was computed unasked when these tests were written; what is added does not change them."""


def not_utf8(rows):
    """Return a column of Arrow of so many texts that are no UTF-8."""
    return pa.Array.from_buffers(pa.string(), rows, pa.array([b"\xff"] * rows).buffers())


def as_bytes(frame, name):
    """Return a frame of Arrow with a column of texts that are no UTF-8."""
    frame = frame.reset_index(names="id").drop(columns=name, errors="ignore")
    return pa.Table.from_pandas(frame).append_column(name, not_utf8(len(frame)))


def make_frame(sizes=SIZES, seed=0):
    """Return eras of a frame, ids in any order, indexed by id."""
    rng = np.random.default_rng(seed)
    frames = []
    for era, size in sizes.items():
        frame = pd.DataFrame({"era": [era] * size}, [f"n{n:04d}" for n in rng.permutation(size)])
        frame["target"] = rng.choice([0, 0.25, 0.5, 0.75, 1], size)
        for name in [*MODELS, "meta"]:
            frame[name] = (rng.random(size) + 0.3 * frame["target"]).round(2)
        for number in range(3):
            frame[f"feature_{number}"] = rng.normal(size=size).astype(np.float32)
        frames.append(frame)
    return pd.concat(frames).rename_axis("id")


FRAME = make_frame()


@pytest.fixture
def frame():
    return FRAME.copy()


def test_an_eras_features_are_factorised_once_for_all_scores(frame, monkeypatch):
    names, found = ["fnc", "neutral_corr", "neutral_mmc"], []
    frame.loc[frame["era"] == "era9", "meta"] = np.r_[np.nan, np.zeros(79) + np.arange(79) / 99]
    apart = {name: evaluate(frame, models=MODELS, metrics=[name], **PARTS).eras for name in names}
    orthonormal = neutral.orthonormal
    monkeypatch.setattr(neutral, "orthonormal", lambda rows: found.append(1) or orthonormal(rows))
    together = evaluate(frame, models=MODELS, metrics=names, **PARTS).eras
    assert len(found) == len(SIZES) + 1  # where the meta model misses a row, neutral_mmc has others
    for name in names:
        pd.testing.assert_frame_equal(together[apart[name].columns], apart[name], check_exact=True)
    evaluate(frame, models=MODELS, metrics=names, **PARTS)
    assert len(found) == 2 * (len(SIZES) + 1)  # nothing is kept beyond an era


def test_an_eras_factorisation_is_gone_before_the_next_eras_is_made(frame, monkeypatch):
    made, alive, factorise = [], [], neutral.Neutralizer.of

    def remembered(*arguments):
        alive.append(sum(one() is not None for one in made))
        neutralizer = factorise(*arguments)
        made.append(weakref.ref(neutralizer))
        return neutralizer

    monkeypatch.setattr(neutral.Neutralizer, "of", remembered)
    gc.disable()
    try:
        engine = load_engine("cpu", threads=1)  # with more, as many eras are scored at once
        evaluate(
            frame, models=MODELS, metrics=["fnc", "neutral_corr"], **PARTS | {"engine": engine}
        )
    finally:
        gc.enable()
    assert alive == [0, 0, 0, 0]


def scores(evaluation, name):
    """Return a score as a frame, eras x models."""
    return evaluation.eras.pivot(index="era", columns="model", values=name).loc[
        evaluation.labels, evaluation.models
    ]


def by_function(name, era, engine="numpy"):
    """Return one era's scores of the models by the metric function itself."""
    models, target, benchmarks = era[MODELS], era["target"], era[["bench_0", "bench_1"]]
    features = era.filter(like="feature")
    if name == "corr":
        return metrics.numerai_corr(models, target, engine=engine)
    if name == "corr20":
        return metrics.tie_broken_rank_correlation(target, models, engine=engine)
    if name == "spearman":
        return metrics.spearman_correlation(target, models, engine=engine)
    if name == "mmc":
        return metrics.correlation_contribution(models, era["meta"], target, engine=engine)
    if name == "bmc":
        mean = benchmarks.rank().mean(axis=1)
        return metrics.correlation_contribution(models, mean, target, engine=engine)
    if name == "bmc_bench_1":
        return metrics.correlation_contribution(models, era["bench_1"], target, engine=engine)
    if name == "fnc":
        return metrics.feature_neutral_corr(models, features, target, engine=engine)
    if name == "neutral_corr":
        return metrics.neutral_correlation(models, features, target, engine=engine)
    if name == "neutral_mmc":
        return metrics.neutral_contribution(models, era["meta"], features, target, engine=engine)
    if name in ("mcwnm", "apcwnm"):
        return getattr(metrics, name)(models, engine=engine)
    if name == "cwmm":
        return metrics.cwmm(models, era["meta"], engine=engine)
    if name == "corr_with_bench_1":
        return metrics.spearman_correlation(era["bench_1"], models, engine=engine)
    _, exposures = metrics.feature_exposures(models, features, engine=engine)
    return pd.Series(exposures.max(axis=1), models.columns)


@cache
def by_numerai_tools(name, label):
    """Return the same by numerai-tools, of an era of the frame."""
    era = FRAME[FRAME["era"] == label].sort_index()
    models, target = era[MODELS], era["target"]
    if name == "corr":
        return scoring.numerai_corr(models, target)
    if name == "corr20":
        return pd.Series(
            {m: scoring.tie_broken_rank_correlation(target, models[m]) for m in models}
        )
    if name == "mmc":
        return scoring.correlation_contribution(models, era["meta"], target)
    if name == "bmc_bench_1":
        return scoring.correlation_contribution(models, era["bench_1"], target)
    features = era.filter(like="feature")
    if name == "fnc":
        return scoring.feature_neutral_corr(models, features, target)
    if name == "neutral_corr":
        return scoring.neutral_correlation(models, features, target)
    if name == "neutral_mmc":
        return scoring.neutral_contribution(models, era["meta"], features, target)
    largest = [scoring.max_feature_correlation(models[model], features)[1] for model in MODELS]
    return pd.Series(np.abs(largest), MODELS)


COLUMNS = ["bmc_bench_1" if n == "bmc_each" else "corr_with_bench_1" if n == "corr_with" else n
           for n in ALL]  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(engine):
    return evaluate(FRAME, **PARTS | {"engine": engine}, metrics=ALL)


@pytest.mark.parametrize("name", COLUMNS)
def test_scores_are_the_metric_functions_to_the_bit(evaluated, engine, frame, name):
    found = scores(evaluated, name)
    for label in SIZES:
        era = frame[frame["era"] == label].sort_index()
        expected = by_function(name, era, engine)
        np.testing.assert_array_equal(found.loc[label], expected[MODELS])
    assert not found.isna().any().any()


@pytest.mark.parametrize(
    "name",
    [
        *("corr", "corr20", "mmc", "bmc_bench_1", "fnc", "neutral_corr", "neutral_mmc"),
        "max_feature_exposure",
    ],
)
def test_scores_are_those_of_numerai_tools(evaluated, name):
    found = scores(evaluated, name)
    for label in SIZES:
        exact = name in ("corr", "corr20", "mmc", "bmc_bench_1")
        tolerance = 1e-12 if exact else 1e-9
        np.testing.assert_allclose(
            found.loc[label], by_numerai_tools(name, label)[MODELS], tolerance, 1e-14
        )


def test_churn_is_measured_from_era_to_era():
    frame = make_frame(dict.fromkeys(["1", "2", "3"], 50))
    frame.loc[frame["era"] == "3", "model_0"] = frame.loc[frame["era"] == "2", "model_0"]
    found = scores(evaluate(frame, **PARTS, metrics=["churn"]), "churn")
    assert found.loc["1"].isna().all()
    assert found.loc["3", "model_0"] == 0
    eras = {label: era.sort_index() for label, era in frame.groupby("era")}
    for model in MODELS:
        expected = signals.churn(eras["1"][model], eras["2"][model])
        assert found.loc["2", model] == pytest.approx(expected, rel=1e-12)


def test_churn_over_ids_that_do_not_stay_is_explained(frame):
    evaluation = evaluate(frame, **PARTS, metrics=["churn"])
    assert evaluation.faults["code"].tolist() == ["era-ids"] * 3
    evaluation = evaluate(frame.reset_index(drop=True), **PARTS, metrics=["churn"])
    assert "there are no ids" in evaluation.faults["detail"][0]


def test_a_benchmark_is_not_compared_with_itself(evaluated):
    # numerblox 1.6.1 gives every model the benchmark's correlation with itself
    own = scores(evaluated, "corr_with_bench_0")
    np.testing.assert_allclose(own["bench_0"], 1, rtol=1e-15)
    assert (own.drop(columns="bench_0").abs() < 0.9).all().all()
    assert (scores(evaluated, "bmc_bench_0")["bench_0"] == 0).all()
    summary = evaluated.summary
    assert not (summary["model"] == summary["against"]).any()


def summarize(scores):
    """Return the summary of one column of scores."""
    return summaries(scores[:, None])[0]


class TestSummary:
    def literal(self, found):
        """Return the statistics as the community writes them."""
        mean, std = np.mean(found), np.std(found)
        series = pd.Series(found)
        r = np.corrcoef(found[:-1], found[1:])[0, 1]
        n = len(found)
        penalty = np.sqrt(1 + 2 * np.sum([(n - i) / n * r**i for i in range(1, n)]))
        drawdown = (series.cumsum().expanding(min_periods=1).max() - series.cumsum()).max()
        smart = mean / (np.std(found, ddof=1) * penalty)
        return n, mean, std, mean / std, drawdown, r, smart, np.mean(np.array(found) > 0)

    @given(st.lists(st.integers(-1000, 1000), min_size=4, max_size=40, unique=True))
    def test_every_statistic_is_the_literal_one(self, thousandths):
        found = np.array(thousandths) / 1000
        np.testing.assert_allclose(summarize(found), self.literal(found), 1e-7, 1e-12)

    @pytest.mark.parametrize("eras", [1, 2, 9, 130, 700])
    def test_many_columns_are_each_as_if_alone(self, eras):
        rng = np.random.default_rng(eras)
        scores = rng.normal(0.01, 0.02, (eras, 12)) * 10.0 ** rng.choice([0, 200, -200], 12)
        scores[:, 3] = 0.1
        scores[rng.random((eras, 12)) < [0.3] * 4 + [0] * 8] = np.nan
        scores[: eras // 2, 4:6] = scores[:, 6] = np.nan
        for returns in (True, False):
            alone = [summaries(column[:, None], returns)[0] for column in scores.T]
            np.testing.assert_array_equal(summaries(scores, returns), alone)

    def test_by_hand(self):
        found = summarize(np.array([0.02, -0.01, -0.02, 0.03]))
        assert found.eras == 4
        assert found.mean == pytest.approx(0.005)
        assert found.std == pytest.approx(np.sqrt(0.0017 / 4))
        assert found.max_drawdown == pytest.approx(0.03)
        assert found.positive == 0.5

    def test_one_era_has_no_sharpe(self):
        found = summarize(np.array([0.02]))
        assert (found.mean, found.std, found.positive) == (0.02, 0, 1)
        assert np.isnan([found.sharpe, found.smart_sharpe, found.autocorrelation]).all()

    def test_constant_scores_have_no_sharpe(self):
        found = summarize(np.full(7, 0.1))
        assert found.std == 0
        assert np.isnan([found.sharpe, found.smart_sharpe]).all()

    def test_no_era_has_nothing(self):
        found = summarize(np.full(3, np.nan))
        assert found.eras == 0
        assert np.isnan(found[1:]).all()

    def test_eras_without_a_score_count_for_nothing_and_part_their_neighbours(self):
        with_gap = np.array([0.1, 0.2, np.nan, 0.4, 0.1, 0.3, 0.25])
        found = summarize(with_gap)
        assert found.eras == 6
        assert found.mean == np.nanmean(with_gap)
        pairs = np.array([(0.1, 0.2), (0.4, 0.1), (0.1, 0.3), (0.3, 0.25)])
        assert found.autocorrelation == pytest.approx(np.corrcoef(pairs.T)[0, 1])

    def test_of_an_evaluation_is_that_of_its_eras(self, evaluated):
        assert set(evaluated.summary["target"]) == {"target"}
        summary = evaluated.summary.drop(columns="target")
        summary = summary.set_index(["model", "score", "against"])
        corr = scores(evaluated, "corr")
        own = summary.loc["model_1", "corr", ""]
        np.testing.assert_array_equal(own, summarize(corr["model_1"].to_numpy()))
        against = summary.loc["model_1", "corr", "bench_1"]
        difference = (corr["model_1"] - corr["bench_1"]).to_numpy()
        np.testing.assert_array_equal(against, summarize(difference))
        assert len(summary) == len(evaluated.scores) * (5 + 2 * 4)


class TestMissing:
    def test_a_row_without_target_is_left_out_for_everybody(self, frame):
        frame.iloc[3:9, frame.columns.get_loc("target")] = np.nan
        found = evaluate(frame, **PARTS, metrics=["corr", "mmc", "fnc"])
        left = evaluate(frame.dropna(), **PARTS, metrics=["corr", "mmc", "fnc"])
        for name in ("corr", "mmc", "fnc"):
            pd.testing.assert_frame_equal(scores(found, name), scores(left, name))
        # numerblox 1.6.1 makes missing targets 0.5
        filled = evaluate(frame.fillna(0.5), **PARTS, metrics=["corr"])
        assert (scores(found, "corr").loc["era1"] != scores(filled, "corr").loc["era1"]).all()
        assert found.counts["without_target"].tolist() == [6, 0, 0, 0]
        assert found.counts["rows"].tolist() == list(SIZES.values())

    def test_a_missing_prediction_costs_that_model_that_era_alone(self, frame, engine):
        parts = PARTS | {"engine": engine}
        whole = evaluate(frame, **parts, metrics=[*ALL, "churn"])
        frame.iloc[[70, 80], frame.columns.get_loc("model_1")] = np.nan  # in era2
        found = evaluate(frame, **parts, metrics=[*ALL, "churn"])
        for name in found.scores:
            if name not in ("churn", "mcwnm", "apcwnm"):  # of two eras, or of others too
                expected = scores(whole, name)
                expected.loc["era2", "model_1"] = np.nan
                pd.testing.assert_frame_equal(scores(found, name), expected)
        fault = found.faults.query("model == 'model_1'")
        assert fault["code"].tolist() == ["prediction-missing"]
        assert fault["era"].tolist() == ["era2"]
        assert "missing 2 of 45" in fault["detail"].iloc[0]
        assert "corr" in fault["scores"].iloc[0].split(", ")
        missing = found.eras.pivot(index="era", columns="model", values="missing")
        assert missing.loc["era2", "model_1"] == 2
        assert missing.to_numpy().sum() == 2
        summary = found.summary.query("score == 'corr' and against == ''").set_index("model")
        assert summary.loc["model_1", "eras"] == 3

    def test_a_gap_where_there_is_no_target_costs_only_what_needs_no_target(self, frame):
        frame.iloc[4, frame.columns.get_indexer(["target", "model_1"])] = np.nan
        found = evaluate(frame, **PARTS, metrics=["corr", "cwmm"])
        assert scores(found, "corr").notna().all().all()
        assert np.isnan(scores(found, "cwmm").loc["era1", "model_1"])
        assert found.faults["scores"].tolist() == ["cwmm"]

    def test_a_missing_prediction_costs_two_eras_of_churn(self):
        frame = make_frame(dict.fromkeys(["1", "2", "3", "4"], 50))
        frame.iloc[60, frame.columns.get_loc("model_1")] = np.nan  # in era 2
        found = evaluate(frame, **PARTS, metrics=["churn"])
        assert scores(found, "churn")["model_1"].isna().tolist() == [True, True, True, False]
        assert found.faults["era"].tolist() == ["2", "3"]
        assert found.faults["detail"].str.startswith("era 2, ").all()

    @pytest.mark.parametrize(
        ("column", "code", "lost"),
        [
            ("target", "target-missing", {"corr", "corr20", "spearman", "mmc", "bmc", "fnc"}),
            ("meta", "series-missing", {"mmc", "cwmm"}),
            ("bench_1", "series-missing", {"bmc", "bmc_bench_1", "corr_with_bench_1"}),
        ],
    )
    def test_an_era_without_a_series_has_no_scores_of_it(self, frame, column, code, lost):
        frame.loc[frame["era"] == "era9", column] = np.nan
        found = evaluate(frame, **PARTS, metrics=USUAL)
        rows = found.faults.query("model == '*'")
        assert set(rows["code"]) == {code}
        assert set(rows["era"]) == {"era9"}
        if column == "target":
            lost = lost | {"bmc_bench_0", "bmc_bench_1"}
        assert set(", ".join(rows["scores"]).split(", ")) == lost
        for name in lost:
            assert scores(found, name).isna().all(axis=1).tolist() == [False, False, True, False]

    def test_a_constant_or_infinite_model_has_no_score_and_the_others_theirs(self, frame):
        whole = evaluate(frame, **PARTS, metrics=["corr", "fnc"])
        frame.loc[frame["era"] == "era2", "model_0"] = 0.5
        frame.iloc[0, frame.columns.get_loc("model_2")] = np.inf
        found = evaluate(frame, **PARTS, metrics=["corr", "fnc"])
        codes = found.faults.set_index(["era", "model"])["code"].to_dict()
        assert codes == {
            ("era1", "model_2"): "prediction-infinite",
            ("era2", "model_0"): "prediction-constant",
        }
        expected = scores(whole, "corr")
        expected.loc["era2", "model_0"] = expected.loc["era1", "model_2"] = np.nan
        pd.testing.assert_frame_equal(scores(found, "corr"), expected)

    def test_every_score_that_is_missing_is_explained(self, frame):
        frame.iloc[5, frame.columns.get_loc("model_2")] = np.nan
        frame.iloc[9, frame.columns.get_loc("target")] = np.nan
        frame.loc[frame["era"] == "era2", ["target", "meta"]] = np.nan
        frame.loc[frame["era"] == "era9", ["model_0", "bench_0"]] = 0.5
        frame.loc[frame["era"] == "era10", "feature_1"] = np.inf
        found = evaluate(frame, **PARTS)
        explained = {
            (fault.era, model, name)
            for fault, names in found.faulted.items()
            for model in (found.models if fault.model == "*" else [fault.model])
            for name in names
        }
        absent = {
            (found.labels[era], found.models[model], name)
            for name, values in found.scores.items()
            for era, model in np.argwhere(np.isnan(values[0])).tolist()
        }
        assert absent == explained
        assert len(absent) > 20


class TestFrames:
    @pytest.fixture
    def expected(self, frame):
        return evaluate(frame, **PARTS, metrics=["corr", "corr20", "fnc"])

    def same(self, found, expected):
        assert found.labels == expected.labels
        assert list(found.scores) == list(expected.scores)
        for name, values in expected.scores.items():
            np.testing.assert_array_equal(found.scores[name], values)

    @pytest.mark.parametrize("form", ["shuffled", "column", "polars", "arrow", "categories"])
    def test_rows_in_any_order_of_any_kind_give_the_same_bits(self, frame, expected, form):
        data = frame.sample(frac=1, random_state=1)
        if form != "shuffled":
            data = data.reset_index()
        if form == "categories":
            data["era"] = data["era"].astype("category")
        if form in ("polars", "arrow"):
            data = pl.DataFrame({name: data[name].to_numpy() for name in data})
        if form == "arrow":
            data = data.to_arrow()
        found = evaluate(data, **PARTS, metrics=["corr", "corr20", "fnc"])
        self.same(found, expected)
        assert isinstance(found.eras, pl.DataFrame if form == "polars" else pd.DataFrame)

    @pytest.mark.parametrize("rows", [7, 61, 1000])
    @pytest.mark.parametrize("dtype", ["string", "category"])
    def test_a_file_gives_the_same_bits(self, frame, expected, tmp_path, rows, dtype, monkeypatch):
        frame["era"] = frame["era"].astype(dtype)
        frame.to_parquet(tmp_path / "eras.parquet", row_group_size=rows)
        monkeypatch.setattr("mmc_gpu.files.eras._ERA_ROWS", 11)
        self.same(evaluate(tmp_path / "eras.parquet", **PARTS, metrics=list(expected.scores)),
                  expected)  # fmt: skip

    def test_a_csv_file_gives_the_same_bits(self, frame, expected, tmp_path):
        frame.to_csv(tmp_path / "eras.csv")
        found = evaluate(str(tmp_path / "eras.csv"), **PARTS, metrics=list(expected.scores))
        self.same(found, expected)

    @pytest.mark.parametrize("order", ["era2 first", "shuffled"])
    def test_a_file_that_is_not_sorted_by_era_gives_the_same_bits(
        self, frame, expected, tmp_path, order
    ):
        second = frame["era"] == "era2"
        scattered = pd.concat([frame[second], frame[~second]])
        if order == "shuffled":
            scattered = frame.sample(frac=1, random_state=1)
        path = tmp_path / "eras.parquet"
        scattered.to_parquet(path, row_group_size=50)
        self.same(evaluate(path, **PARTS, metrics=list(expected.scores)), expected)
        with pytest.raises(RoundError, match=r"sorted by era.*\[era-order\]"):
            evaluate(path, **PARTS, cluster="local")

    def test_eras_may_be_numbers_or_dates(self, frame):
        numbered = frame.assign(era=pd.factorize(frame["era"])[0] * 5)
        assert evaluate(numbered, metrics=["corr"]).labels == [0, 5, 10, 15]
        dated = frame.assign(era=pd.Timestamp("2024-01-05") + pd.to_timedelta(numbered.era, "D"))
        assert evaluate(dated, metrics=["corr"]).labels[1] == "2024-01-10"

    def test_float32_predictions_score_as_their_float64(self, frame):
        narrow = frame.astype(dict.fromkeys([*MODELS, "meta", "target"], np.float32))
        wide = narrow.astype(dict.fromkeys([*MODELS, "meta", "target"], np.float64))
        self.same(evaluate(narrow, **PARTS), evaluate(wide, **PARTS))

    def test_some_metrics_are_computed_only_where_they_are_named(self, frame):
        left_out = {"neutral_corr", "neutral_mmc", "mcwnm", "apcwnm", "churn"}
        assert left_out.isdisjoint(evaluate(frame, **PARTS).scores)
        named = evaluate(frame, **PARTS, metrics=sorted(left_out))
        assert set(named.scores) == left_out

    def test_models_are_by_default_what_is_left(self, frame):
        assert evaluate(frame, metrics=["corr"]).models == [
            *MODELS[:3],
            "bench_0",
            "bench_1",
            "meta",
        ]
        found = evaluate(frame, **PARTS, models=["model_[12]"], metrics=["corr"])
        assert found.models == ["model_1", "model_2", "bench_0", "bench_1"]

    def test_progress_counts_eras(self, frame):
        said = []
        evaluate(frame, metrics=["corr"], progress=lambda *what: said.append(what))
        assert said == [("evaluate", done, 4) for done in (1, 2, 3, 4)]

    def test_one_era_is_enough(self, frame):
        found = evaluate(frame[frame["era"] == "era9"], **PARTS)
        assert found.to_pandas()["sharpe"].isna().all()
        assert found.summary["mean"].notna().all()

    def test_a_notebook_shows_names_as_text(self, frame):
        found = evaluate(frame.rename(columns={"model_0": "<b>"}), **PARTS, metrics=["corr"])
        assert "<td>&lt;b&gt;</td>" in found._repr_html_()
        assert repr(found) == "<Evaluation: 5 models, 4 eras, 237 rows, engine numpy>"


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"metrics": ["sharpe"]}, "no metric 'sharpe'"),
            ({"metrics": ["mmc"]}, "metric mmc: give meta_model"),
            ({"metrics": ["bmc"]}, "metric bmc: give benchmarks"),
            ({"metrics": []}, "nothing to compute"),
            ({"models": "model_0"}, "models: give a list"),
            ({"metrics": "corr"}, "metrics: give a list"),
            ({"metrics": len}, "metrics: give a list"),
            ({"meta_model": ["meta"]}, "meta_model: name one column"),
            ({"target": [["target"]]}, "target: a value of type list is no name"),
            ({"era": None}, "era: name the column"),
        ],
    )
    def test_arguments_that_do_not_fit(self, frame, options, words):
        with pytest.raises(ValueError, match=words):
            evaluate(frame, **options)

    @pytest.mark.parametrize(
        ("change", "options", "code"),
        [
            (lambda f: f, {"models": ["prediction_*"]}, "column-unknown"),
            (lambda f: f, {"target": "targets"}, "column-unknown"),
            (lambda f: f, {"ids": "ids"}, "column-unknown"),
            (lambda f: f, {"models": ["target"]}, "column-ambiguous"),
            (lambda f: f.assign(era=f["era"].where(f["era"] != "era2")), {}, "era-missing"),
            (lambda f: f.assign(era=np.arange(len(f)) / 2), {}, "era-type"),
            (lambda f: f.set_axis(["n"] * len(f)), {}, "id-duplicate"),
            (lambda f: f.assign(model_0="high"), {"models": ["model_0"]}, "value-text"),
            (lambda f: f.iloc[:0], {}, "file-empty"),
            (lambda f: f.assign(era=[[era] for era in f["era"]]), {}, "era-type"),
            (lambda f: as_bytes(f, "era"), {}, "era-type"),
            (lambda f: as_bytes(f, "id"), {}, "id-type"),
            (lambda f: as_bytes(f, "data_type"), {"data_type": "train"}, "file-encoding"),
            (lambda f: as_bytes(f, "model_0"), {"models": ["model_0"]}, "file-encoding"),
            pytest.param(
                *(lambda f: pl.DataFrame({"era": [1]}, {"era": pl.Int128}), {}, "column-type"),
                marks=pytest.mark.skipif(not hasattr(pl, "Int128"), reason="an older polars"),
            ),
        ],
    )
    def test_data_that_cannot_be_read(self, frame, change, options, code):
        with pytest.raises(RoundError, match=rf"\[{code}\]"):
            evaluate(change(frame), **options)

    @pytest.mark.parametrize(
        "eras",
        [
            pa.array([[1]] * 3),
            not_utf8(3),
            pa.array([1, 2, 3], pa.timestamp("s", "No/Where")),
            pa.array([10**14] * 3, pa.timestamp("s")),
            pa.array([b"1"] * 3, pa.binary_view()),
        ],
        ids=lambda eras: str(eras.type),
    )
    def test_eras_of_a_file_that_are_none(self, tmp_path, eras):
        columns = {"era": eras, "target": [0, 0.5, 1], "prediction": [0.1, 0.3, 0.2]}
        pq.write_table(pa.table(columns), tmp_path / "data.parquet")
        with pytest.raises(RoundError, match=r"data.parquet: .*\[era-type\]"):
            evaluate(tmp_path / "data.parquet")

    def test_a_long_list_of_data_types_is_cut(self, frame):
        many = frame.assign(data_type=[f"type_{n}" for n in range(len(frame))])
        with pytest.raises(RoundError, match=r"1 type_8 and \d+ more"):
            evaluate(many, data_type="train")


class TestExplained:
    """What an era lacks is said once, by what it is."""

    def only(self, frame, code, words, metrics=USUAL, **options):
        """Return the scores that one fault has taken from everybody in the first era."""
        found = evaluate(frame, **{**PARTS, **options}, metrics=metrics)
        assert set(found.faults["era"]) == {"era1"}
        assert set(found.faults["model"]) == {"*"}
        assert set(found.faults["code"]) == {code}
        assert set(found.faults["detail"]) == {words}
        return {name for text in found.faults["scores"] for name in text.split(", ")}

    def changed(self, frame, column, value, rows=60):
        frame.iloc[:rows, frame.columns.get_loc(column)] = value
        return frame

    def test_a_feature_missing_in_an_era(self, frame):
        frame = self.changed(frame, "feature_1", np.nan)
        words = "era era1, 'feature_1': no values"
        assert self.only(frame, "series-missing", words) == {"fnc", "max_feature_exposure"}

    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    def test_an_infinite_target(self, frame, value):
        frame = self.changed(frame, "target", value, rows=1)
        words = "era era1, 'target': 1 of 60 rows"
        assert {"corr", "mmc", "fnc"} < self.only(frame, "target-infinite", words)

    def test_a_constant_target(self, frame):
        frame = self.changed(frame, "target", 0.25)
        words = "era era1, 'target': all 60 are 0.25"
        assert {"corr", "mmc", "fnc"} < self.only(frame, "target-constant", words)

    @pytest.mark.parametrize(
        ("value", "code", "words"),
        [
            (0.5, "meta-model-constant", "all 60 are 0.5"),
            (np.inf, "series-infinite", "60 of 60 rows"),
        ],
    )
    def test_a_meta_model_that_says_nothing(self, frame, value, code, words):
        frame = self.changed(frame, "meta", value)
        found = self.only(frame, code, f"era era1, 'meta': {words}")
        assert found == {"mmc", "cwmm"}

    def test_a_constant_benchmark(self, frame):
        frame = self.changed(frame, "bench_0", 0.5)
        found = evaluate(frame, **PARTS, metrics=["bmc_each", "corr_with"])
        everybody = found.faults.query("model == '*'")
        assert everybody["scores"].tolist() == ["bmc_bench_0, corr_with_bench_0"]
        assert everybody["code"].tolist() == ["meta-model-constant"]

    def test_infinities_that_cancel(self, frame):
        frame.iloc[:2, frame.columns.get_loc("model_0")] = [np.inf, -np.inf]
        found = evaluate(frame, **PARTS, metrics=["corr"])
        assert found.faults["code"].tolist() == ["prediction-infinite"]


def test_pandas_index_in_a_file_has_the_ids(frame, tmp_path):
    frame.index.name = None  # pandas writes it as __index_level_0__
    path = tmp_path / "eras.parquet"
    frame.to_parquet(path)
    for data in (path, pa.Table.from_pandas(frame)):
        found = evaluate(data, **PARTS, metrics=["corr20", "churn"], models=["model_*"])
        wanted = evaluate(frame, **PARTS, metrics=["corr20", "churn"], models=["model_*"])
        pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)


def test_names_of_columns_may_be_tuples(frame):
    named = frame.rename(columns=lambda name: ("round", name))
    parts = {part: ("round", name) for part, name in (("era", "era"), ("target", "target"))}
    found = evaluate(named, **parts, models=[("round", "model_0")], metrics=["corr"])
    expected = evaluate(frame, models=["model_0"], metrics=["corr"])
    np.testing.assert_array_equal(found.scores["corr"], expected.scores["corr"])


@pytest.mark.parametrize(
    ("given", "labels"), [([2.0, -1.0, 10.0], [-1, 2, 10]), ([-3, -20, 4], [-20, -3, 4])]
)
def test_eras_that_are_numbers_ascend(frame, given, labels):
    frame = frame[frame["era"].isin(["era1", "era2", "era9"])]
    numbers = frame["era"].map(dict(zip(["era1", "era2", "era9"], given, strict=True)))
    found = evaluate(frame.assign(era=numbers), metrics=["corr"], engine="numpy")
    assert found.labels == labels
    other = numbers.astype(numbers.dtype.newbyteorder())
    again = evaluate(frame.assign(era=other), metrics=["corr"], engine="numpy")
    np.testing.assert_array_equal(again.scores["corr"], found.scores["corr"])


def test_ids_at_fault_cost_everybody_that_era_and_the_next_ones_churn():
    frame = make_frame(dict.fromkeys(["1", "2", "3", "4"], 50)).reset_index()
    whole = evaluate(frame, **PARTS, metrics=["corr", "churn"])
    frame.loc[55, "id"] = frame.loc[56, "id"]
    found = evaluate(frame, **PARTS, metrics=["corr", "churn"])
    assert {(fault.era, fault.model, fault.code): scores for fault, scores in
            found.faulted.items()} == {
        ("2", "*", "id-duplicate"): ["corr", "churn"],
        ("3", "*", "id-duplicate"): ["churn"],
    }  # fmt: skip
    for name, lost in ("corr", ["2"]), ("churn", ["2", "3"]):
        expected = scores(whole, name)
        expected.loc[lost] = np.nan
        pd.testing.assert_frame_equal(scores(found, name), expected, check_exact=True)


PLAIN = {"use_dictionary": False, "compression": "none"}
"""Equal values take as much room in a file as others do."""

PEAK = """
import sys
from pathlib import Path
import mmc_gpu
def peak():  # not ru_maxrss, in which a process inherits its parent's
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
mmc_gpu.evaluate(sys.argv[1], metrics=["corr"], engine="numpy")
before = peak()
evaluation = mmc_gpu.evaluate(sys.argv[2], metrics=["corr"], engine="numpy")
print(before, peak(), len(evaluation.labels))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status tells the peak")
@pytest.mark.usefixtures("plain_memory")
def test_memory_holds_an_era_and_not_the_file(tmp_path):
    rng = np.random.default_rng(0)
    models, rows = 40, 2000

    def write(name, eras):
        size = eras * rows
        columns = [np.repeat([f"{era:04d}" for era in range(eras)], rows)]
        columns += [rng.choice([0, 0.5, 1], size), *[rng.random(size)] * models]
        names = ["era", "target", *(f"m{model}" for model in range(models))]
        # one row group: the hardest to read piece by piece
        options = {"row_group_size": size, "data_page_size": 2**16}
        pq.write_table(pa.table(columns, names), tmp_path / name, **PLAIN, **options)
        return tmp_path / name

    small, large = write("small.parquet", 20), write("large.parquet", 170)
    found = subprocess.run(
        [sys.executable, "-c", PEAK, small, large], capture_output=True, text=True, check=True
    )
    before, after, eras = map(int, found.stdout.split())
    assert eras == 170
    assert large.stat().st_size - small.stat().st_size > 100e6
    # 17 to 19 MB were seen; the file would be more than 100
    assert (after - before) * 1024 < 40e6


JOINED = """
import sys
from pathlib import Path
import mmc_gpu
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
how = {"metrics": ["corr"], "engine": "numpy"}
mmc_gpu.evaluate(sys.argv[1] + "/small.parquet", predictions=sys.argv[1] + "/small*.pq", **how)
before = peak()
found = mmc_gpu.evaluate(sys.argv[1] + "/large.parquet", predictions=sys.argv[1] + "/m*.pq", **how)
print(before, peak(), len(found.models), found.missing.sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status tells the peak")
@pytest.mark.usefixtures("plain_memory")
def test_memory_holds_an_era_and_what_is_joined(tmp_path):
    rng = np.random.default_rng(0)

    def write(name, eras, files, rows=2000, columns=120):
        size = eras * rows
        ids = np.array([f"n{value:015x}" for value in rng.integers(0, 16**15, size)])
        data = {"id": ids, "era": np.repeat([f"{era:04d}" for era in range(eras)], rows)}
        data |= dict.fromkeys([f"target_{n}" for n in range(columns)], np.zeros(size))
        data["target"] = rng.choice([0, 0.5, 1], size)
        pq.write_table(pa.table(data), tmp_path / f"{name}.parquet", size, **PLAIN)
        for file in files:
            order = rng.permutation(size)
            mine = pa.table({"id": ids[order], "prediction": rng.random(size)})
            pq.write_table(mine, tmp_path / f"{file}.pq")

    write("small", 10, ["small_1"])
    write("large", 60, ["m0", "m1"])
    found = subprocess.run(
        [sys.executable, "-c", JOINED, tmp_path], capture_output=True, text=True, check=True
    )
    before, after, models, missing = map(int, found.stdout.split())
    assert (models, missing) == (2, 0)
    assert (tmp_path / "large.parquet").stat().st_size > 100e6
    assert (after - before) * 1024 < 40e6  # 18 to 23 MB were seen; the file would be 100


class TestCommand:
    @pytest.fixture
    def run(self, run):
        return partial(run, "evaluate")

    @pytest.fixture
    def file(self, frame, tmp_path):
        frame.to_parquet(tmp_path / "eras.parquet")
        return tmp_path / "eras.parquet"

    OPTIONS = ("--meta-model", "meta", "--benchmark", "bench_*", "--feature", "feature_*",
               "--engine", "numpy")  # fmt: skip

    def test_the_summary_is_shown(self, run, file):
        code, out, err = run(file, *self.OPTIONS, "--metric", "corr", "--metric", "mmc", "--top", 2)
        assert code == 0
        assert "drawdown" in out
        assert "... and 3 more" in out
        assert "5 models, 4 eras, 237 rows, engine numpy" in err

    @pytest.mark.parametrize("format_", ["parquet", "csv"])
    def test_the_tables_hold_the_bits_and_the_receipt_says_how(
        self, run, file, tmp_path, frame, format_
    ):
        out = tmp_path / "out"
        assert run(file, *self.OPTIONS, "-o", out, "--format", format_)[0] == 0
        read = pd.read_csv if format_ == "csv" else pd.read_parquet
        expected = evaluate(frame, **PARTS)
        text = {"keep_default_na": True, "engine": "pyarrow"} if format_ == "csv" else {}
        tables = ("table", "eras", "summary", "uncertainty", "counts")
        for table in tables:
            found = read(out / f"{table}.{format_}", **text)
            wanted = getattr(expected, table)
            for name in {"against", "note"}.intersection(found):
                found[name] = found[name].astype(object).fillna("")
            pd.testing.assert_frame_equal(found, wanted, check_exact=True, check_dtype=False)
        receipt = json.loads((out / "receipt.json").read_text())
        assert receipt["inputs"][0]["bytes"] == file.stat().st_size
        assert receipt["parameters"]["benchmarks"] == ["bench_*"]
        assert set(receipt["files"]) == {f"{t}.{format_}" for t in tables} | {"faults.csv"}
        assert {found.name for found in out.iterdir()} <= set(ERA_FILES)

    def test_a_model_without_a_score_is_named_and_changes_the_exit_code(self, run, frame, tmp_path):
        frame.iloc[0, frame.columns.get_loc("model_0")] = np.nan
        frame.to_parquet(tmp_path / "eras.parquet")
        code, _, err = run(tmp_path / "eras.parquet", *self.OPTIONS, "-o", tmp_path / "out")
        assert code == 4
        assert "for 'model_0': era era1, 'model_0': missing 1 of 60" in err
        listed = pd.read_csv(tmp_path / "out/faults.csv")
        assert listed["model"].tolist() == ["model_0"]

    def test_an_error_is_one_line_and_writes_nothing(self, run, file, tmp_path):
        code, out, err = run(file, "--target", "targets", "-o", tmp_path / "out")
        assert (code, out) == (1, "")
        assert err.startswith("error: eras.parquet: no column 'targets'; nearest 'target'; ")
        assert not (tmp_path / "out").exists()
        assert run(file, "--metric", "sharpe")[0] == 2

    def test_a_file_without_a_target_is_evaluated(self, run, frame, tmp_path):
        frame.drop(columns="target").to_parquet(tmp_path / "live.parquet")
        code, out, _ = run(tmp_path / "live.parquet", "--target", "", *self.OPTIONS)
        assert code == 0
        assert "cwmm" in out

    def test_the_receipt_has_the_tables_over_ranks(self, run, file, tmp_path):
        run(file, *self.OPTIONS, "-o", tmp_path / "out")
        receipt = json.loads((tmp_path / "out/receipt.json").read_text())
        assert receipt["rank_tables"]["stocks"] == max(SIZES.values())
        assert receipt["rank_tables"]["gauss15"] == metrics.table_digest("gauss15", 80)
        assert "scipy" in receipt["versions"]

    def test_a_file_is_not_replaced_by_its_own_tables(self, run, file, tmp_path):
        (tmp_path / "own").mkdir()
        own = file.rename(tmp_path / "own/eras.parquet")
        before = own.read_bytes()
        code, _, err = run(own, *self.OPTIONS, "-o", tmp_path / "own")
        assert code == 1
        assert "holds what is evaluated" in err
        assert "[output-foreign]" in err
        assert own.read_bytes() == before

    def test_a_file_named_like_a_table_is_not_a_result(self, run, file, tmp_path):
        (tmp_path / "own").mkdir()
        (tmp_path / "own/summary.csv").write_text("irreplaceable")
        code, _, err = run(file, *self.OPTIONS, "-o", tmp_path / "own")
        assert code == 1
        assert "holds 'summary.csv' and no receipt.json" in err
        assert (tmp_path / "own/summary.csv").read_text() == "irreplaceable"

    def test_standard_output_holds_no_folder(self, run, file):
        code, _, err = run(file, *self.OPTIONS, "-o", "-")
        assert code == 2
        assert "name a folder" in err

    def test_eras_and_ids_of_a_csv_are_text_by_any_name(self, run, frame, tmp_path):
        renamed = frame.reset_index().rename(columns={"era": "week", "id": "ticker"})
        renamed["week"] = renamed["week"].str.removeprefix("era").str.zfill(4)
        renamed["ticker"] = renamed["ticker"].replace("n0003", "NA")
        renamed.to_csv(tmp_path / "weeks.csv", index=False)
        options = ("--era", "week", "--id", "ticker", "--engine", "numpy", "--metric", "corr")
        assert run(tmp_path / "weeks.csv", *options, "-o", tmp_path / "out")[0] == 0
        found = pd.read_parquet(tmp_path / "out/counts.parquet")
        assert found["era"].tolist() == ["0001", "0002", "0009", "0010"]

    def test_a_folder_of_other_files_is_left_alone(self, run, file, tmp_path):
        (tmp_path / "thesis.txt").write_text("irreplaceable")
        code, _, err = run(file, *self.OPTIONS, "-o", tmp_path)
        assert code == 1
        assert "[output-foreign]" in err

    def test_a_damaged_file_is_named(self, run, file):
        file.write_bytes(file.read_bytes()[:-100])
        code, _, err = run(file)
        assert code == 1
        assert "[file-damaged]" in err


def test_evaluate_is_public():
    assert {"evaluate", "Evaluation"} <= set(mmc_gpu.__all__)
