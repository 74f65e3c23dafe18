"""Evaluation metrics of LightGBM and XGBoost: the means over eras of the functions in metrics."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc_gpu import metrics, training
from mmc_gpu.errors import RoundError

SIZES = (90, 40, 61, 40, 300)


class Data:
    """Rows of eras, scattered, as people train on them."""

    def __init__(self, seed=0, sizes=SIZES, gaps=True, labels=None):
        rng = np.random.default_rng(seed)
        rows = sum(sizes)
        self.frame = pd.DataFrame(rng.random((rows, 4)), columns=["meta", "b0", "b1", "feature"])
        names = [f"{number:04d}" for number in range(len(sizes))] if labels is None else labels
        self.frame.insert(0, "era", np.repeat(names, sizes))
        self.frame["target"] = rng.choice([0, 0.25, 0.5, 0.75, 1], rows)
        if gaps:
            self.frame.loc[rng.random(rows) < 0.05, "target"] = np.nan
            self.frame.loc[rng.random(rows) < 0.05, "meta"] = np.nan
            self.frame.loc[self.frame["era"] == names[1], "meta"] = np.nan  # before the meta model
            self.frame.loc[rng.random(rows) < 0.02, "b1"] = np.nan
        self.frame = self.frame.sample(frac=1, random_state=seed).reset_index(drop=True)
        self.predictions = rng.random(rows).round(2) + 0.1 * self.frame["target"].fillna(0)

    def metrics(self, engine, **options):
        f = self.frame
        given = f["era"], f["target"], f["meta"], f[["b0", "b1"]]
        return training.EraMetrics(*given, engine=engine, **options)

    def expected(self, engine, predictions=None):
        """Return the means over eras of the functions, era by era."""
        f = self.frame.assign(p=self.predictions if predictions is None else predictions)
        found = {"corr": [], "mmc": [], "bmc": []}
        for _, era in f.dropna(subset="target").groupby("era", sort=False):
            p, target = era["p"].to_numpy(), era["target"].to_numpy()
            found["corr"].append(metrics.numerai_corr(p, target, engine=engine))
            both = era[["b0", "b1"]].dropna().rank().mean(axis=1).reindex(era.index)
            for name, meta in ("mmc", era["meta"]), ("bmc", both):
                if meta.notna().any():
                    one = metrics.correlation_contribution(
                        p, meta.to_numpy(), target, engine=engine
                    )
                    found[name].append(one)
        return {name: np.nanmean(values) for name, values in found.items()}


@given(seed=st.integers(0, 2**32), gaps=st.booleans())
def test_values_are_the_means_of_the_functions(engine, seed, gaps):
    data = Data(seed, gaps=gaps)
    found = data.metrics(engine).values(data.predictions, data.frame["target"])
    assert list(found) == ["corr", "mmc", "bmc"]
    for name, value in data.expected(engine).items():
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-14)


def test_rows_come_in_any_order(engine):
    data = Data(1)
    found = data.metrics(engine).values(data.predictions, data.frame["target"])
    data.frame["p"] = data.predictions
    data.frame = data.frame.sort_values("era", kind="stable").reset_index(drop=True)
    ordered = data.metrics(engine).values(data.frame["p"], data.frame["target"])
    assert ordered == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    "labels",
    [[3, 1, 4, 15, 9], list("edcba"), pd.date_range("2024-01-05", periods=5, freq="7D"),
     [0.5, 1.5, 2.5, 3.5, 4.5]],
    ids=["numbers", "text", "dates", "floats"],
)  # fmt: skip
def test_eras_have_labels_of_any_kind(labels):
    data, plain = Data(2, labels=labels), Data(2)
    given = data.predictions, data.frame["target"]
    expected = plain.metrics("numpy").values(*given)
    assert data.metrics("numpy").values(*given) == pytest.approx(expected, rel=1e-12)
    for other in "category", ">i8":  # numbers may come in another order of bytes
        eras = data.frame["era"].astype("category")
        data.frame["era"] = eras if other == "category" else eras.cat.codes.astype(other)
        assert data.metrics("numpy").values(*given) == pytest.approx(expected, rel=1e-12)


def test_float32_predictions_are_ranked_as_they_are(engine):
    data = Data(3)
    narrow = data.predictions.to_numpy(np.float32)
    found = data.metrics(engine).values(narrow, data.frame["target"].to_numpy(np.float32))
    assert found == pytest.approx(data.expected(engine, narrow.astype(np.float64)), rel=1e-12)


def test_only_what_is_given_is_computed():
    f = Data(4).frame
    alone = training.EraMetrics(f["era"], f["target"])
    assert list(alone.values(f["b0"], f["target"])) == ["corr"]
    two = training.EraMetrics(f["era"], f["target"], benchmarks=f["b0"])
    assert list(two.values(f["feature"], f["target"])) == ["corr", "bmc"]


def test_an_era_whose_predictions_are_all_equal_adds_nothing(engine):
    data = Data(5, gaps=False)
    constant = data.predictions.where(data.frame["era"] != "0002", 0.5)
    found = data.metrics(engine).values(constant, data.frame["target"])
    others = data.frame["era"] != "0002"
    part = Data(5, gaps=False)
    part.frame, part.predictions = part.frame[others], part.predictions[others]
    expected = {name: value * 4 / 5 for name, value in part.expected(engine).items()}
    assert found == pytest.approx(expected, rel=1e-12)
    nothing = data.metrics(engine).values(constant * 0, data.frame["target"])
    assert set(nothing.values()) == {0.0}


def test_eras_without_a_score_are_left_out_and_told():
    found = Data(6).metrics("numpy")
    ((key, fault),) = found.faults.items()
    assert key == (0, "mmc", "0001")
    assert fault.code == "series-missing"
    assert "era 0001" in str(fault)


def test_data_sets_are_told_apart_by_their_labels(engine):
    data, other = Data(7), Data(8)
    both = data.metrics(engine)
    f = other.frame
    both.add(f["era"], f["target"], f["meta"], f[["b0", "b1"]])
    for one in data, other:
        alone = one.metrics(engine).values(one.predictions, one.frame["target"])
        assert both.values(one.predictions, one.frame["target"]) == alone
    assert {key[0] for key in both.faults} == {0, 1}
    with pytest.raises(RoundError, match=r"no data set \(531 and 531 rows\): add\(\) it, or give"):
        both.values(data.predictions, 1 - data.frame["target"])
    with pytest.raises(RoundError, match=r"shape \(530,\)"):
        both.values(data.predictions[:-1], data.frame["target"][:-1])


def test_what_is_trained_on_may_be_another_target():
    data = Data(9)
    label = data.frame["feature"]
    found = data.metrics("numpy", label=label).values(data.predictions, label)
    assert found == data.metrics("numpy").values(data.predictions, data.frame["target"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.finfo(float).max])
def test_predictions_that_are_no_numbers_are_refused(value):
    data = Data(10)
    data.predictions[7] = value
    with pytest.raises(RoundError, match=r"\[prediction-infinite\]"):
        data.metrics("numpy").values(data.predictions, data.frame["target"])


def test_what_does_not_fit_is_refused():
    f = Data(11).frame
    with pytest.raises(RoundError, match=r"target: shape \(530,\) for 531 rows"):
        training.EraMetrics(f["era"], f["target"][:-1])
    with pytest.raises(RoundError, match=r"meta_model: shape \(531, 2\)"):
        training.EraMetrics(f["era"], f["target"], f[["b0", "b1"]])
    with pytest.raises(RoundError, match=r"target: nothing is given.*\[data-type\]"):
        training.EraMetrics(f["era"], None)
    with pytest.raises(RoundError, match=r"none in 1 of 531 rows.*\[era-missing\]"):
        training.EraMetrics(f["era"].mask(f.index == 3), f["target"])
    with pytest.raises(RoundError, match=r"\[target-missing\]"):
        training.EraMetrics(f["era"], f["target"] * np.nan)
    with pytest.raises(RoundError, match=r"meta_model: 1 of 531 values.*\[series-infinite\]"):
        training.EraMetrics(f["era"], f["target"], f["meta"].mask(f.index == 3, np.inf))


class Set:
    """A data set as both libraries hand it over."""

    def __init__(self, label):
        self.get_label = lambda: label


def test_forms_are_those_of_the_libraries():
    data = Data(12, gaps=False)
    label = data.frame["target"].to_numpy(np.float32)
    found = data.metrics("numpy")
    values = found.values(data.predictions, label)
    triples = [(name, value, True) for name, value in values.items()]
    assert found.lightgbm(data.predictions, Set(label)) == triples
    assert found.lightgbm_sklearn(label, data.predictions) == triples
    assert found.xgboost(data.predictions, Set(label)) == list(values.items())
    mmc = found.xgboost_sklearn("mmc")
    assert mmc.__name__ == "mmc"
    assert mmc(label, data.predictions) == values["mmc"]
    assert found.xgboost_sklearn()(label, data.predictions) == values["corr"]
    alone = training.EraMetrics(data.frame["era"], data.frame["target"], engine="numpy")
    for one, name in ((found, "nonsense"), (alone, "mmc")):
        with pytest.raises(ValueError, match=f"no metric '{name}' of this data; there are 'corr'"):
            one.xgboost_sklearn(name)


@pytest.fixture
def two_sets():
    train, valid = Data(13, gaps=False), Data(14, sizes=(80, 50, 70), gaps=False)
    for data in train, valid:
        data.frame["feature"] += data.frame["target"]
    found = valid.metrics("numpy")
    found.add(train.frame["era"], train.frame["target"])
    return train, valid, found


def features(data):
    return data.frame[["feature", "b0"]]


@pytest.mark.filterwarnings("ignore")
def test_lightgbm_records_the_values(two_sets):
    lightgbm = pytest.importorskip("lightgbm", reason="the extra `training` has lightgbm")
    train, valid, found = two_sets
    options = {"objective": "regression", "num_leaves": 7, "verbose": -1, "num_threads": 1,
               "metric": "none"}  # fmt: skip
    sets = [lightgbm.Dataset(features(one), one.frame["target"]) for one in (train, valid)]
    history = {}
    stop = lightgbm.early_stopping(5, first_metric_only=True, verbose=False)
    booster = lightgbm.train(
        options, sets[0], 12, valid_sets=[sets[1], sets[0]], valid_names=["valid", "train"],
        feval=found.lightgbm, callbacks=[lightgbm.record_evaluation(history), stop],
    )  # fmt: skip
    assert list(history["valid"]) == list(history["train"]) == ["corr", "mmc", "bmc"]
    assert np.isnan(history["train"]["mmc"]).all()  # there is no meta model of these eras
    values = found.values(booster.predict(features(valid)), valid.frame["target"])  # of the best
    best = history["valid"]["mmc"][booster.best_iteration - 1]
    assert best == pytest.approx(values["mmc"], rel=1e-12)
    assert booster.best_iteration == 1 + int(np.argmax(history["valid"]["corr"]))

    model = lightgbm.LGBMRegressor(n_estimators=5, num_leaves=7, verbose=-1, n_jobs=1)
    model.fit(
        features(train), train.frame["target"],
        eval_set=[(features(valid), valid.frame["target"])], eval_metric=found.lightgbm_sklearn,
    )  # fmt: skip
    values = found.values(model.predict(features(valid)), valid.frame["target"])
    (evaluated,) = model.evals_result_.values()
    assert evaluated["bmc"][-1] == pytest.approx(values["bmc"], rel=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_xgboost_records_the_values(two_sets):
    xgboost = pytest.importorskip("xgboost", reason="the extra `training` has xgboost")
    train, valid, found = two_sets
    options = {"max_depth": 3, "nthread": 1, "disable_default_eval_metric": True}
    sets = [xgboost.DMatrix(features(one), one.frame["target"]) for one in (train, valid)]
    history = {}
    booster = xgboost.train(
        options, sets[0], 12, evals=[(sets[0], "train"), (sets[1], "valid")],
        custom_metric=found.xgboost, maximize=True, early_stopping_rounds=5,
        evals_result=history, verbose_eval=False,
    )  # fmt: skip
    assert list(history["valid"]) == list(history["train"]) == ["corr", "mmc", "bmc"]
    assert np.isnan(history["train"]["mmc"]).all()  # there is no meta model of these eras
    values = found.values(booster.predict(sets[1]), valid.frame["target"])
    for name in values:
        assert history["valid"][name][-1] == pytest.approx(values[name], abs=1e-5)  # as it prints
    assert booster.best_iteration == int(np.argmax(history["valid"]["bmc"]))

    pytest.importorskip("sklearn", reason="XGBoost's own estimators need scikit-learn")
    model = xgboost.XGBRegressor(
        n_estimators=5, max_depth=3, n_jobs=1, eval_metric=found.xgboost_sklearn("mmc")
    )
    model.fit(
        features(train), train.frame["target"],
        eval_set=[(features(valid), valid.frame["target"])], verbose=False,
    )  # fmt: skip
    values = found.values(model.predict(features(valid)), valid.frame["target"])
    evaluated = model.evals_result()["validation_0"]["mmc"]
    assert evaluated[-1] == pytest.approx(values["mmc"], abs=1e-5)
