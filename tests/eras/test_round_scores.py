"""A round's further scores are those of numerai-tools, wherever its predictions lie.

Long, because one made-up round serves arrays, folders and packed rounds.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.engines.ranked_once import RankedOnce
from mmc_gpu.eras import round_era
from mmc_gpu.eras.metrics import ROUND_METRICS
from mmc_gpu.errors import RoundError
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.rounds.further import FurtherScores

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")

STOCKS, USERS = 240, 12
SERIES = ("benchmarks", "features", "neutralizers", "weights")
EVERY = ["bootstrap", *ROUND_METRICS]


class Made:
    """A round as people have it, and the series that further scores need."""

    def __init__(self, seed=11):
        rng = np.random.default_rng(seed)
        self.ids = [f"n{number:04d}" for number in range(STOCKS)]
        users = [f"user {number:02d}" for number in range(USERS)]
        values = rng.random((STOCKS, USERS))
        values[:, 2::3] = values[:, 2::3].round(1)
        self.predictions = pd.DataFrame(values, self.ids, users)
        self.stakes = pd.Series(rng.lognormal(1, 2, USERS), users)
        self.stakes.iloc[::4] = 0.0
        self.targets = self.frame(rng.choice([0, 0.25, 0.5, 0.75, 1], (STOCKS, 1)), ["bins"])
        self.targets["returns"] = rng.normal(size=STOCKS)
        self.given = {
            "benchmarks": self.frame(rng.random((STOCKS, 2)), ["lgbm", "ridge"]),
            "features": self.frame(rng.integers(0, 5, (STOCKS, 12)) / 4, range(12)),
            "neutralizers": self.frame(rng.normal(size=(STOCKS, 4)), list("wxyz")),
            "weights": self.frame(rng.random((STOCKS, 1)) + 0.5, ["weight"]),
        }

    def frame(self, values, columns):
        return pd.DataFrame(values, self.ids, [str(column) for column in columns])

    def shuffled(self, data):
        return data.sample(frac=1, random_state=1)

    def write(self, folder):
        """Write the round as a folder."""
        folder.mkdir(parents=True)
        for name in ("predictions", "targets"):
            getattr(self, name).rename_axis("id").reset_index().to_csv(
                folder / f"{name}.csv", index=False
            )
        self.stakes.rename_axis("user").rename("stake").to_csv(folder / "stakes.csv")
        self.write_series(folder)
        return folder

    def write_series(self, folder):
        for name, frame in self.given.items():
            table = self.shuffled(frame).rename_axis("id").reset_index()
            if name == "features":
                table.to_parquet(folder / f"{name}.parquet", index=False)
            else:
                table.to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture(scope="module")
def made():
    return Made()


def legacy_by_least_squares(predictions, meta_model, target):
    """Return the contribution of 2020, by a fit that is formed."""
    ranks = [(s.rank(method="first") - 0.5) / len(s) for s in (predictions, meta_model)]
    design = np.column_stack([ranks[1], np.ones(len(target))])
    fit = design @ np.linalg.lstsq(design, ranks[0], rcond=None)[0]
    return np.cov(ranks[0] - fit, target)[0, 1] / 0.0841


def dissimilarity(ours, theirs):
    """Return how unlike the exposures of two models are, as numerblox has it."""
    return 1 - ours @ theirs / (theirs @ theirs)


@pytest.fixture(scope="module")
def expected(made):
    """Return what numerai-tools scores, as (target, name) to a Series of users."""
    found = {}
    p, given = made.predictions, made.given
    meta = scoring.stake_weight(p, made.stakes)
    weights = given["weights"]["weight"]
    powered = scoring.tie_kept_rank__gaussianize__pow_1_5(p)
    correlations = pd.DataFrame(np.corrcoef(p.to_numpy().T), p.columns, p.columns)
    others = correlations.mask(np.eye(USERS, dtype=bool))
    mean_ranks = given["benchmarks"].rank().mean(axis=1).rename("mean")

    def each_user(function):
        return pd.Series({user: function(p[user]) for user in p})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = given["features"]
        exposures = {user: features.corrwith(p[user]) for user in p}
        alike = {  # whatever the target
            "cwmm": powered.corrwith(meta),
            "max_feature_correlation": each_user(
                lambda s: scoring.max_feature_correlation(s, features)[1]
            ),
            "mcwnm": others.max(),
            "apcwnm": others.mean(),
        }
        for benchmark, series in given["benchmarks"].items():
            own = features.corrwith(series)
            alike[f"exposure_dissimilarity_{benchmark}"] = pd.Series(
                {user: dissimilarity(exposures[user], own) for user in p}
            )
            alike[f"corr_with_{benchmark}"] = each_user(
                lambda s, series=series: scoring.spearman_correlation(series, s)
            )
        for name in made.targets:
            t = made.targets[name]
            one = {
                "numerai_corr": scoring.numerai_corr(p, t),
                "correlation_contribution": scoring.correlation_contribution(p, meta, t),
                "bmc": scoring.correlation_contribution(p, mean_ranks, t),
                "feature_neutral_corr": scoring.feature_neutral_corr(p, given["features"], t),
                "tie_broken_rank_correlation": each_user(
                    lambda s, t=t: scoring.tie_broken_rank_correlation(t, s)
                ),
                "spearman_correlation": each_user(
                    lambda s, t=t: scoring.spearman_correlation(t, s)
                ),
                "legacy_contribution": each_user(
                    lambda s, t=t: legacy_by_least_squares(s, meta, t)
                ),
                "neutral_correlation": scoring.neutral_correlation(p, given["features"], t),
                "neutral_contribution": scoring.neutral_contribution(p, meta, given["features"], t),
                "alpha": scoring.alpha(p, given["neutralizers"], weights, t),
                "meta_portfolio_contribution": scoring.meta_portfolio_contribution(
                    p, made.stakes, given["neutralizers"], weights, t
                ),
            }
            for benchmark, series in given["benchmarks"].items():
                one[f"bmc_{benchmark}"] = scoring.correlation_contribution(p, series, t)
            found |= {(name, score): values for score, values in (one | alike).items()}
    return found


@pytest.fixture(scope="module")
def folders(made, tmp_path_factory):
    folder = made.write(tmp_path_factory.mktemp("round") / "round")
    packed = folder.with_name("packed")
    pack_round(folder, packed)
    made.write_series(packed)
    return {"folder": folder, "packed": packed}


@pytest.fixture(scope="module")
def scored(made, folders):
    """Return the scores of the round, see `score`, each found once."""
    kept = {}

    def found(where, engine, scores=EVERY):
        key = where, getattr(engine, "name", engine), *scores
        if key not in kept:
            kept[key] = score(where, made, folders, engine, scores)
        return kept[key]

    return found


def score(where, made, folders, engine, scores):
    """Return the scores of the round from arrays, frames, the folder, or the packed round."""
    options = {"scores": scores, "engine": engine}
    if where in folders:
        return mmc_gpu.score_round(mmc_gpu.open_round(folders[where]), **options)
    if where == "frames":
        frames = map(made.shuffled, (made.predictions, made.stakes, made.targets))
        given = {need: made.shuffled(frame) for need, frame in made.given.items()}
        return mmc_gpu.score_round(*frames, **given, **options)
    given = {need: frame.to_numpy() for need, frame in made.given.items()}
    return mmc_gpu.score_round(
        made.predictions.to_numpy(), made.stakes.to_numpy(), made.targets["bins"].to_numpy(),
        **given, **options,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["frames", "folder", "packed"])
def test_every_score_is_that_of_numerai_tools(engine, scored, expected, where):
    table = scored(where, engine).to_pandas().set_index(["target", "user"])
    names = list(dict.fromkeys(name for _, name in expected))
    assert set(table.columns[table.columns.get_loc("rank_high") + 1 :]) == set(names)
    for (target, name), values in expected.items():
        fitted = "neutral" in name or name in ("alpha", "meta_portfolio_contribution")
        np.testing.assert_allclose(
            table.loc[target][name],
            values.reindex(table.loc[target].index),
            rtol=0,
            atol=1e-9 if fitted else 1e-12,
            err_msg=f"{name} of {target}",
        )


def test_arrays_have_the_scores_of_frames(engine, scored):
    arrays = scored("arrays", engine)
    frames = scored("frames", engine)
    order = np.argsort([int(user.split()[-1]) for user in frames.users])
    by_number = np.argsort([int(user) for user in arrays.users])
    for name, (found, *_) in arrays.further.values.items():
        if "_1" in name or "_0" in name:
            continue  # benchmarks of arrays have numbers as names
        of_frames = frames.further.values[name][0]
        np.testing.assert_array_equal(found[by_number], of_frames[order], err_msg=name)


def test_a_digest_is_the_same_wherever_predictions_lie_and_on_every_engine(scored):
    found = {
        scored(where, engine).further_digest
        for where in ("frames", "folder", "packed")
        for engine in ("numpy", "cpu")
    }
    assert len(found) == 1


def test_the_bootstrap_alone_is_what_it_was(scored):
    alone = scored("frames", "numpy", ["bootstrap"])
    more = scored("frames", "numpy")
    assert alone.further is None
    assert alone.further_digest is None
    assert alone.digest == more.digest
    pd.testing.assert_frame_equal(alone.table, more.table[alone.table.columns])
    assert alone.further_faults.empty


def test_columns_come_after_the_bootstrap_in_the_order_in_which_they_are_asked_for(scored):
    names = ["cwmm", "numerai_corr", "bmc_each", "cwmm"]
    table = scored("frames", "numpy", names).table
    assert list(table)[-4:] == ["cwmm", "numerai_corr", "bmc_lgbm", "bmc_ridge"]


def test_names_are_those_of_the_functions():
    for name, row in ROUND_METRICS.items():
        assert callable(getattr(metrics, row.function))
        assert name == (row.name if "benchmarks" in row.needs else row.function)
    assert {"mmc", "corr", "churn"}.isdisjoint(ROUND_METRICS)


@pytest.mark.parametrize("name", ["mmc", "corr", "churn", "nothing"])
def test_other_names_are_refused_with_the_list(scored, name):
    with pytest.raises(ValueError, match=rf"no score '{name}'; there are bootstrap, numerai_corr"):
        scored("frames", "numpy", [name])


@pytest.mark.parametrize("name", sorted(ROUND_METRICS))
def test_a_score_needs_what_its_row_says(made, name):
    row = ROUND_METRICS[name]
    round_ = made.predictions, made.stakes, made.targets
    needs = [need for need in row.needs if need in SERIES]
    given = {need: made.given[need] for need in needs}
    scores = mmc_gpu.score_round(*round_, scores=[name], engine="numpy", **given)
    assert not any(np.isnan(values).any() for values in scores.further.values.values())
    for need in needs:
        with pytest.raises(RoundError, match=rf"score {name}: give {need}, a file"):
            mmc_gpu.score_round(*round_, scores=[name], engine="numpy", **(given | {need: None}))


def test_a_user_without_a_score_is_nan_with_a_reason(made):
    meta_like = made.predictions.copy()
    features = made.given["features"].copy()
    meta_like["user 05"] = features["3"]  # nothing is left of it
    scores = mmc_gpu.score_round(
        meta_like, made.stakes, made.targets, scores=["feature_neutral_corr", "numerai_corr"],
        features=features, engine="numpy",
    )  # fmt: skip
    table = scores.table.set_index(["target", "user"])
    lost = table.index[table["feature_neutral_corr"].isna()]
    faults = scores.further_faults
    assert sorted(zip(faults["target"], faults["user"], strict=True)) == sorted(lost)
    assert table["numerai_corr"].notna().all()
    assert set(faults["scores"]) <= {"feature_neutral_corr"}


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_no_score_is_made_of_infinite_benchmarks(made, engine, value):
    benchmarks = made.given["benchmarks"].copy()
    benchmarks.iloc[3, 0] = value
    scores = mmc_gpu.score_round(
        made.predictions, made.stakes, made.targets, scores=["bmc"], benchmarks=benchmarks,
        engine=engine,
    )  # fmt: skip
    assert np.isnan(scores.further.values["bmc"]).all()
    assert {(of.user, of.code) for of in scores.further.faulted} == {("*", "series-infinite")}


def test_what_concerns_all_users_is_told_once(made, monkeypatch):
    monkeypatch.setattr(round_era, "block_rows", lambda stocks: 7)
    benchmarks = made.given["benchmarks"].assign(lgbm=0.5)
    scores = mmc_gpu.score_round(
        made.predictions, made.stakes, made.targets, scores=["bmc_each"], benchmarks=benchmarks
    )
    faults = scores.further_faults
    assert list(zip(faults["target"], faults["user"], strict=True)) == [
        ("bins", "*"),
        ("returns", "*"),
    ]
    assert set(faults["code"]) == {"meta-model-constant"}
    assert scores.table["bmc_ridge"].notna().all()


def test_a_benchmark_cannot_take_the_name_of_a_column_of_the_bootstrap(made):
    benchmarks = made.given["benchmarks"].rename(columns={"lgbm": "meta_model"})
    with pytest.raises(RoundError, match="corr_with_meta_model"):
        mmc_gpu.score_round(
            made.predictions, made.stakes, made.targets, scores=["corr_with"],
            benchmarks=benchmarks,
        )  # fmt: skip


def test_what_stands_beside_benchmarks_is_no_benchmark_and_that_is_said(made, tmp_path):
    folder = made.write(tmp_path / "round")
    benchmarks = made.given["benchmarks"].rename_axis("id").reset_index()
    odd = benchmarks.assign(era="0857", data_type="live", when="2026-11-27")
    odd.to_csv(folder / "benchmarks.csv")  # its index too, in a column without a name
    of_file, of_frame, plain = (
        mmc_gpu.score_round(
            mmc_gpu.open_round(folder), scores=["bmc_each"], engine="numpy", benchmarks=given
        )
        for given in (None, odd.set_index("id"), made.given["benchmarks"])
    )
    assert of_file.further_digest == of_frame.further_digest == plain.further_digest
    (note,) = of_file.further.notes()
    assert "'' (row numbers), 'when' (dates)" in note
    (note,) = of_frame.further.notes()
    assert "'era' (eras), 'data_type' (one value), 'when' (dates)" in note
    assert plain.further.notes() == ()


def test_a_feature_may_have_one_value_in_a_round(made):
    features = made.given["features"].assign(flat=2)
    scores = mmc_gpu.score_round(
        made.predictions, made.stakes, made.targets, scores=["feature_neutral_corr"],
        features=features, engine="numpy",
    )  # fmt: skip
    assert scores.further.ignored == ()


def test_arrays_do_not_fit_a_round_with_ids(made):
    features = made.given["features"].to_numpy()
    with pytest.raises(RoundError, match=r"\[array-shape\]"):
        mmc_gpu.score_round(
            made.predictions, made.stakes, made.targets, scores=["feature_neutral_corr"],
            features=features,
        )  # fmt: skip


def test_blocks_of_users_change_nothing(engine, made, folders, scored, monkeypatch):
    names = ["numerai_corr", "correlation_contribution", "tie_broken_rank_correlation", "cwmm"]
    whole = scored("packed", engine, names)
    monkeypatch.setattr(round_era, "block_rows", lambda stocks: 7)
    assert score("packed", made, folders, engine, names).further_digest == whole.further_digest


def test_the_meta_model_is_that_of_stake_weight(engine, made, scored):
    meta = metrics.stake_weight(made.predictions, made.stakes, engine=engine)
    table = scored("frames", engine, ["correlation_contribution"]).table
    found = table[table["target"] == "bins"].set_index("user")["correlation_contribution"]
    own = metrics.correlation_contribution(
        made.predictions, meta, made.targets["bins"], engine=engine
    )
    np.testing.assert_allclose(found, own[found.index], rtol=0, atol=1e-14)


def test_a_packed_round_too_large_for_memory_refuses_only_what_compares_all_users(
    made, folders, monkeypatch
):
    monkeypatch.setattr(round_era, "_WHOLE_BYTES", 1000)
    for name in ("mcwnm", "apcwnm", "meta_portfolio_contribution"):
        with pytest.raises(RoundError, match=f"{name}: all users at once"):
            score("packed", made, folders, "numpy", [name])
    assert score("packed", made, folders, "numpy", ["numerai_corr"]).further_digest


def test_every_column_is_ranked_once_for_all_scores_and_targets(engine, made, folders):
    class Counting:
        """An engine that counts the rows of predictions that it ranks."""

        def __init__(self):
            self.ranked = 0
            for name in ("name", "selects", "get", "zeros", "stack", "combine", "put", "products"):
                setattr(self, name, getattr(engine, name))

        def rank(self, series, ties):
            self.ranked += len(series)
            return engine.rank(series, ties)

        def rank_both(self, series, spare=None):
            self.ranked += len(series)
            return engine.rank_both(series, spare)

        def moments(self, block, probes, ties):
            self.ranked += 0 if block.dtype == np.int32 else len(block)
            return engine.moments(block, probes, ties)

        def transform(self, block, table, ties):
            self.ranked += 0 if block.dtype == np.int32 else len(block)
            return engine.transform(block, table, ties)

        def inner(self, block, table, probes, ties):
            self.ranked += 0 if table is None or block.dtype == np.int32 else len(block)
            return engine.inner(block, table, probes, ties)

        ends = None

    counting = Counting()
    round_ = mmc_gpu.open_round(folders["packed"])
    names = ["numerai_corr", "correlation_contribution", "cwmm", "alpha"]
    given = made.given
    further = round_era.score_further(round_, names, counting, given)
    assert isinstance(further, FurtherScores)
    meta_models = 1  # which contributions to all targets rank together
    assert counting.ranked == USERS + meta_models


def test_ranks_that_are_held_give_the_bits_of_the_engine(engine, made):
    predictions = np.ascontiguousarray(made.predictions.to_numpy().T)
    once = RankedOnce(engine)
    table = metrics.rank_table("gauss15", STOCKS)
    probes = np.random.default_rng(0).normal(size=(3, STOCKS))
    limbs = np.arange(STOCKS, dtype=np.int32)[None]
    for block in (predictions, predictions[:9].round(1), predictions[::-1].astype(np.float32)):
        once.forget()  # the ranks before are written over
        for _ in range(2):
            placed = once.hold("block", lambda block=block: np.ascontiguousarray(block))
            for ties in ("first", "average"):
                np.testing.assert_array_equal(
                    engine.get(once.rank(placed, ties)),
                    engine.get(engine.rank(engine.put(block), ties)),
                )
                np.testing.assert_array_equal(
                    once.inner(placed, table, probes, ties),
                    engine.inner(block, table, probes, ties),
                )
                np.testing.assert_array_equal(
                    once.moments(placed, limbs, ties), engine.moments(block, limbs, ties)
                )
                np.testing.assert_array_equal(
                    engine.get(once.transform(placed, table, ties)),
                    engine.get(engine.transform(block, table, ties)),
                )
    other = once.put(predictions[3:9])  # is not held, and so not mistaken for what is
    np.testing.assert_array_equal(
        once.inner(other, table, probes, "average"),
        engine.inner(predictions[3:9], table, probes, "average"),
    )
