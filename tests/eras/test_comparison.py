"""Models are compared over the same eras, in the right direction, and with what is not known."""

import json
from functools import cache
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmc_gpu
from mmc_gpu.api import Evaluation
from mmc_gpu.eras.comparison import Comparing, overlap_of
from mmc_gpu.files.results.eras import read_evaluation
from mmc_gpu.metrics.uncertainty import deflated_sharpe, estimate

pl = pytest.importorskip("polars", reason="the extra `test` has polars")


def evaluated(scores, benchmarks=(), targets=("target_20",), labels=None, **more):
    """Return an evaluation of scores: by name {model: (eras,)}; the same on every target."""
    models = list(next(iter(scores.values())))
    arrays = {name: np.stack(list(own.values()), axis=1) for name, own in scores.items()}
    eras = len(next(iter(arrays.values())))
    each = len(targets), eras
    return Evaluation(
        models=models,
        benchmarks=list(benchmarks),
        targets=list(targets),
        labels=labels or [f"{era:04d}" for era in range(1, eras + 1)],
        scores={name: np.broadcast_to(own, (each[0], *own.shape)) for name, own in arrays.items()},
        missing=np.zeros((eras, len(models)), np.int64),
        counted={"rows": np.full(each, 10)},
        faulted={},
        engine="numpy",
        **more,
    )


def made(models=5, eras=60, seed=0, skill=0.02):
    rng = np.random.default_rng(seed)
    return {f"m{n}": skill * n + rng.normal(0, 0.03, eras) for n in range(models)}


def gapped(scores, gaps):
    """Return scores with NaN at these places."""
    scores = scores.copy()
    scores[gaps] = np.nan
    return scores


@cache
def made_lucky_noise(seed=3):
    """Return eras of a frame with two models of skill, and noise that is NaN where it did worst."""
    rng = np.random.default_rng(seed)
    eras, stocks = 60, 40
    frame = pd.DataFrame({"era": np.repeat([f"{n:04d}" for n in range(1, eras + 1)], stocks)})
    frame["id"] = [f"n{row:05d}" for row in range(len(frame))]
    for target in ("target_20", "target_60"):
        frame[target] = rng.choice([0, 0.25, 0.5, 0.75, 1], len(frame))
    for name, skill in ("good", 0.15), ("fair", 0.05):
        frame[name] = rng.random(len(frame)) + skill * (frame["target_20"] + frame["target_60"])
    frame["noise"] = rng.random(len(frame))
    by_era = frame.groupby("era")[["noise", "target_20"]].apply(lambda e: e.corr().iloc[0, 1])
    worst = by_era.sort_values().index[:48]
    first = frame.groupby("era").head(1).index
    frame.loc[first[frame.loc[first, "era"].isin(worst)], "noise"] = np.nan
    return frame


def lucky_noise():
    return made_lucky_noise().copy()


def test_noise_that_lacks_its_worst_eras_stands_below_marked_and_is_never_the_best(
    tmp_path, capsys, call
):
    frame = lucky_noise()
    found = mmc_gpu.evaluate(frame, target="target_20", engine="numpy", metrics=["corr", "corr20"])
    own = found.summary.query("score == 'corr' and against == ''").set_index("model")
    assert own["mean"].idxmax() == "noise"  # it leads over its own eras
    assert own["sharpe"].idxmax() == "noise"
    table = found.table
    assert table["model"].tolist() == ["good", "fair", "noise"]
    assert table["rank"].tolist()[:2] == [1, 2]
    assert np.isnan(table["rank"].iloc[2])
    assert table["note"].tolist() == ["", "", "too few eras: 12 of 60"]
    assert table["eras"].tolist() == [60, 60, 12]
    for standing in found.standings:
        assert standing.best == "good"
        assert standing.sentence == "over 60 eras that all 2 have"
        assert [found.models[place] for place in standing.few] == ["noise"]
    assert found.order("corr").tolist() == [0, 1, 2]
    assert "1 model without a rank: too few eras" in found._repr_html_()
    frame.to_parquet(tmp_path / "eras.parquet")
    command = ["evaluate", tmp_path / "eras.parquet", "--target", "target_20", "--metric", "corr"]
    call(*command, "--engine", "numpy")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[:4]] == [
        ["rank", "model"], ["1", "good"], ["2", "fair"], ["-", "noise"],
    ]  # fmt: skip
    assert rows[3][2:-2] == ["(too", "few", "eras:", "12", "of", "60)"]
    assert sum("noise" in row for row in rows) == 1  # not in the score's own table


def test_two_targets_stand_each_for_itself():
    frame = lucky_noise()
    frame.loc[frame["era"] > "0050", "target_60"] = np.nan
    both = mmc_gpu.evaluate(
        frame, target=["target_20", "target_60"], engine="numpy", metrics=["corr"]
    )
    for target, eras in ("target_20", 60), ("target_60", 50):
        one = mmc_gpu.evaluate(frame, target=target, engine="numpy", metrics=["corr"])
        table = both.table.query("target == @target").reset_index(drop=True)
        pd.testing.assert_frame_equal(table, one.table, check_exact=True)
        assert table["eras"].tolist()[:2] == [eras, eras]
        assert table["model"].iloc[2] == "noise"
        rows = both.uncertainty.query("target == @target").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, one.uncertainty, check_exact=True)
    assert both.standing(target="target_60").overlap == 12
    assert both.standing(target="target_20").overlap == 4


def test_the_others_are_ranked_over_the_eras_that_all_of_them_have():
    own = made(4)
    own["m0"] = gapped(own["m0"], slice(0, 3))
    own["m1"] = gapped(own["m1"], slice(58, 60))
    own["m3"] = gapped(own["m3"], slice(0, 30))
    found = evaluated({"corr": own})
    assert found.standing().sentence == "over 55 eras that all 3 have"
    table = found.table.set_index("model")
    assert table["eras"].to_dict() == {"m0": 55, "m1": 55, "m2": 55, "m3": 30}
    for name in ("m0", "m1", "m2"):
        assert table.loc[name, "corr"] == pytest.approx(own[name][3:58].mean(), rel=1e-13)
    assert table.loc["m3", "note"] == "too few eras: 30 of 60"
    assert found.compare(least=0.5).standing().sentence == (
        "only 28 of 60 eras are common to all 4: each over its own eras, 30 to 60"
    )


def test_as_many_eras_as_are_asked_for_are_enough():
    own = made(2, eras=100) | {"late": gapped(made(1, eras=100)["m0"], slice(0, 45))}
    found = evaluated({"corr": own}).compare(least=0.55)  # 0.55 * 100 is 55.00000000000001
    assert found.standing().few == []
    assert found.compare(least=0.56).standing().few == [2]


def test_each_can_be_ranked_over_its_own_eras():
    own = made(3)
    own["m0"] = gapped(own["m0"], slice(0, 3))
    found = evaluated({"corr": own}).compare(over="own")
    assert found.standing().sentence == "each over its own eras, 57 to 60"
    table = found.table.set_index("model")
    assert table["eras"].to_dict() == {"m0": 57, "m1": 60, "m2": 60}
    assert table.loc["m0", "corr"] == pytest.approx(np.nanmean(own["m0"]), rel=1e-13)


def test_eras_that_few_models_have_do_not_count():
    own = made(5)
    for name in ("m1", "m2", "m3"):
        own[name] = gapped(own[name], slice(0, 20))
    found = evaluated({"corr": own})
    assert found.standing().sentence == "over 40 eras that all 5 have"
    assert (found.table["eras"] == 40).all()


def test_benchmarks_and_the_meta_model_never_shrink_the_eras():
    own = made(3) | {"bench": gapped(made(1)["m0"] + 0.03, slice(0, 40)), "whole": made(1)["m0"]}
    meta = gapped(np.full(60, 0.015), slice(0, 10))[None]
    found = evaluated({"corr": own}, ["bench", "whole"], meta_model={"corr": meta})
    assert found.standing().sentence == "over 60 eras that all 3 have"
    table = found.table.set_index("model")
    assert table.loc[["m2", "m1", "m0"], "rank"].tolist() == [1, 2, 3]
    assert table.loc[["bench", "whole", "meta model"], "rank"].isna().all()
    assert table.loc["bench", ["kind", "note"]].tolist() == ["benchmark", "too few eras: 20 of 60"]
    assert table.loc["meta model", ["kind", "corr", "eras"]].tolist() == ["meta model", 0.015, 50]
    assert table.index[-1] == "bench"
    rows = found.uncertainty.set_index(["model", "against"])
    assert rows.loc[("m1", "bench"), "eras"] == 20  # those that both have
    assert rows.loc[("m1", "whole"), "eras"] == 60
    assert found.standing().best == "m2"
    assert ("bench", "bench") not in rows.index


def test_a_benchmark_is_never_called_the_best():
    found = evaluated({"corr": made(3)}, ["m2"])
    assert found.table["model"].tolist() == ["m2", "m1", "m0"]
    assert found.standing().best == "m1"
    assert found.table["rank"].tolist()[1:] == [1, 2]


class TestKinds:
    NAMES = ("corr", "max_feature_exposure", "cwmm", "corr_with_bench", "churn", "bmc_bench")
    BETTER = ("higher", "lower", "neither", "neither", "lower", "higher")

    @pytest.fixture
    def found(self):
        return evaluated(
            dict.fromkeys(self.NAMES, made(3) | {"bench": made(1, seed=9)["m0"]}), ["bench"]
        )

    def test_the_best_is_the_lowest_or_nobody(self, found):
        best = {"higher": "m2", "lower": "m0", "neither": None}
        for standing, better in zip(found.standings, self.BETTER, strict=True):
            assert standing.better == better
            assert standing.best == best[better]

    def test_a_table_by_a_score_without_a_direction_has_no_ranks(self):
        table = evaluated({"cwmm": made(3)}).table
        assert table["rank"].isna().all()
        table = evaluated({"churn": made(3)}).table
        assert table["model"].tolist() == ["m0", "m1", "m2"]

    def test_only_returns_have_sharpe_drawdown_and_a_share_above_0(self, found):
        only = ["sharpe", "max_drawdown", "smart_sharpe", "positive"]
        for name, rows in found.summary.groupby("score"):
            returns = name in ("corr", "bmc_bench")
            assert rows[only].notna().all().all() == returns
            assert rows[only].isna().all().all() != returns
            assert rows[["eras", "mean", "std"]].notna().all().all()
        for name, rows in found.uncertainty.query("against == ''").groupby("score"):
            returns = name in ("corr", "bmc_bench")
            assert rows.filter(like="sharpe").notna().all().all() == returns
            assert rows.filter(like="sharpe").isna().all().all() != returns
            assert rows["mean_se"].notna().all()


FOUR, TWELVE = "targets overlap 4 eras", "targets overlap 12 eras"


class TestUncertainty:
    def test_it_is_that_of_the_eras_that_are_compared(self):
        own = made(3) | {"bench": made(1, seed=9)["m0"]}
        own["m0"] = gapped(own["m0"], slice(0, 4))
        found = evaluated({"corr": own}, ["bench"])
        rows = found.uncertainty.set_index(["model", "against"])
        scores = found.scores["corr"][0]
        expected = estimate(scores[4:], 4)
        for place, name in enumerate(found.models):
            np.testing.assert_array_equal(
                rows.loc[(name, ""), list(expected._fields)].astype(float),
                [values[place] for values in expected],
            )
        difference = estimate(scores[:, :3] - scores[:, 3:], 4)
        np.testing.assert_array_equal(rows.loc[("m0", "bench"), "p"], difference.p[0])
        assert rows.loc[("m0", "bench"), "eras"] == 56
        assert np.isnan(rows.loc[("m0", "bench"), "deflated_sharpe"])
        for trials in (None, 100):
            rows = found.compare(trials=trials).uncertainty.set_index(["model", "against"])
            deflated = deflated_sharpe(scores[4:], 4, trials, expected.sharpe[:3])
            np.testing.assert_array_equal(rows.loc[(found.models, ""), "deflated_sharpe"], deflated)

    def test_gaps_of_a_model_that_is_not_compared_change_nobody_elses(self):
        own = made(3)
        few = own | {"few": gapped(made(1)["m0"], slice(5, 60, 2))}
        alone, together = (evaluated({"corr": each}).uncertainty for each in (own, few))
        columns = [name for name in alone if name != "deflated_sharpe"]
        pd.testing.assert_frame_equal(together[columns][:3], alone[columns], check_exact=True)
        assert together["note"].iloc[3] == "too few eras: 32 of 60"

    @pytest.mark.parametrize(
        ("target", "labels", "given", "eras", "said"),
        [
            ("target_cyrusd_20", range(9), None, 4, f"{FOUR}, since they last 20 days"),
            ("target_v4_60", range(9), None, 12, f"{TWELVE}, since they last 60 days"),
            ("target", range(9), None, 4, "targets overlap 4 eras, which is assumed (overlap=)"),
            ("", ["a", "b"], None, 4, "targets overlap 4 eras, which is assumed (overlap=)"),
            ("target_20", range(9), 1, 1, "targets overlap 1 era, as given"),
            ("target_60", ["era1", "era5", "era9"], None, 3,
             "targets overlap 3 eras, since they last 60 days and every 4th era is there"),
            ("target_20", ["0001", "0005"], None, 1,
             "targets overlap 1 era, since they last 20 days and every 4th era is there"),
            ("target_20", [20230106, 20230113], None, 4,
             "targets overlap 4 eras, since they last 20 days"),
        ],
    )  # fmt: skip
    def test_how_far_eras_overlap_is_known_from_the_targets_name_or_said(
        self, target, labels, given, eras, said
    ):
        assert overlap_of(target, list(labels), given) == (eras, said)


def test_any_two_models_can_be_told_apart_or_not():
    own = made(3)
    own["m0"] = gapped(own["m0"], slice(0, 4))
    evaluation = evaluated({"corr": own})
    found = evaluation.against("m0").set_index("model")
    assert found.index.tolist() == ["m2", "m1"]
    expected = estimate((own["m1"] - own["m0"])[:, None], 4)
    np.testing.assert_array_equal(found.loc["m1"], np.ravel(expected))
    assert found.loc["m1", "eras"] == 56
    assert found.loc["m2", "eras_needed"] < found.loc["m1", "eras_needed"]
    with pytest.raises(ValueError, match="no model 'nobody'"):
        evaluation.against("nobody")


class TestCompare:
    def test_recent_eras_are_the_last_ones_that_have_the_score(self):
        own = {name: gapped(scores, slice(55, 60)) for name, scores in made(3).items()}
        found = evaluated({"corr": own}).compare(recent=20)
        assert found.labels == [f"{era:04d}" for era in range(36, 61)]
        assert found.standing().sentence == "over 20 eras that all 3 have"
        mean = found.summary.set_index("model").loc["m1", "mean"]
        assert mean == pytest.approx(own["m1"][35:55].mean())
        assert len(found.counts) == 25

    @pytest.mark.parametrize(
        "options",
        [{"over": "all"}, {"least": 1.5}, {"overlap": 0}, {"overlap": 1.5}, {"trials": 0},
         {"recent": 0}, {"recent": 61}, {"recent": 2.0}, {"least": "all"}, {"least": None}],
    )  # fmt: skip
    def test_an_option_out_of_its_range_is_an_error(self, options):
        with pytest.raises(ValueError, match=f"^{next(iter(options))}\\b"):
            evaluated({"corr": made(2)}).compare(**options)

    def test_nothing_else_changes(self):
        found = evaluated({"corr": made(2)})
        pd.testing.assert_frame_equal(found.compare(over="own").summary, found.summary)

    def test_numbers_may_be_numpys(self):
        found = evaluated({"corr": made(2)}).compare(overlap=np.int64(2), trials=np.int64(9))
        assert (found.standing().overlap, found.standing().trials) == (2, 9)


def test_few_models_and_no_scores_at_all():
    alone = evaluated({"corr": {"m": gapped(made(1)["m0"], slice(0, 48))}})
    assert alone.standing().sentence == "over 12 eras that the one model has"
    nothing = evaluated({"corr": {"m": np.full(9, np.nan)}})
    assert nothing.standing().sentence == "no model has enough of 0 eras"
    assert nothing.table["note"].tolist() == ["too few eras: 0 of 0"]
    assert nothing.standing().best is None
    assert nothing.uncertainty["mean"].isna().all()
    apart = evaluated(
        {"corr": {"a": gapped(np.ones(9), slice(4)), "b": gapped(np.ones(9), slice(5, 9))}}
    )
    assert apart.standing().sentence == "no model has enough of 9 eras"
    only = evaluated({"corr": made(2)}, ["m0", "m1"])
    assert only.standing().sentence == "over 60 eras that all 2 have"
    assert only.standing().best is None


def test_the_rolling_mean_is_pandas():
    own = made(3)
    own["m0"] = gapped(own["m0"], [3, 4, 5, 6, 30])
    found = evaluated({"corr": own}).rolling(6)
    assert found["era"].tolist()[:2] == ["0001", "0002"]
    expected = pd.DataFrame(own).rolling(6, min_periods=3).mean()
    pd.testing.assert_frame_equal(found.drop(columns="era"), expected, rtol=1e-9)


def test_the_correlations_of_models_are_numpys_over_the_eras_that_both_have():
    own = made(3)
    own["m0"] = gapped(own["m0"], slice(0, 9))
    found = evaluated({"corr": own, "mmc": own}).correlations(score="mmc").set_index("model")
    expected = np.corrcoef(own["m0"][9:], own["m2"][9:])[0, 1]
    assert found.loc["m0", "m2"] == pytest.approx(expected, rel=1e-12)
    assert found.loc["m1", "m1"] == pytest.approx(1)


def test_an_unknown_score_or_target_is_an_error():
    found = evaluated({"corr": made(2)})
    with pytest.raises(ValueError, match="no score 'nothing' in this evaluation; it has 'corr'"):
        found.rolling(score="nothing")
    with pytest.raises(ValueError, match="no target 'nothing'"):
        found.correlations(target="nothing")


def test_tables_are_polars_where_the_data_was():
    found = evaluated({"corr": made(2)}, polars=True)
    for table in (found.table, found.uncertainty, found.rolling(3), found.correlations()):
        assert isinstance(table, pl.DataFrame)
    assert found.table["rank"].to_list() == [1, 2]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_the_meta_models_own_corr_is_that_of_its_rows_and_is_read_back(tmp_path, format_, call):
    frame = lucky_noise()
    frame["meta"] = frame["good"] + 0.1 * frame["fair"]
    frame.loc[frame["era"] <= "0010", "meta"] = np.nan
    frame.loc[[40 * 20, 40 * 20 + 1], "meta"] = np.nan  # two rows of an era
    frame.to_parquet(tmp_path / "eras.parquet")
    models = ["--model", "good", "--model", "fair", "--meta-model", "meta", "--target", "target_20"]
    options = [*models, "--metric", "corr", "--engine", "numpy", "--format", format_]
    code = call("evaluate", tmp_path / "eras.parquet", *options, "-o", tmp_path / "out")
    assert not code
    found, _ = read_evaluation(tmp_path / "out")
    alone = mmc_gpu.evaluate(
        frame.dropna(subset="meta"), target="target_20", models=["meta"], engine="numpy"
    )
    own = found.meta_model["corr"][0]
    assert np.isnan(own[:10]).all()
    np.testing.assert_array_equal(own[10:], alone.scores["corr"][0][:, 0])
    read = pd.read_csv if format_ == "csv" else pd.read_parquet
    table = read(tmp_path / f"out/table.{format_}").set_index("model")
    assert table.loc["meta model", "eras"] == 50
    assert table.loc["meta model", "corr"] == pytest.approx(own[10:].mean(), rel=1e-12)
    assert table.loc["good", "eras"] == 60
    assert json.loads((tmp_path / "out/receipt.json").read_text())["models"] == 2


def test_a_notebook_shows_the_table_first_and_how_many_rows_it_leaves_out():
    html = evaluated({"corr": made(50)})._repr_html_()
    assert "over 60 eras that all 50 have" in html
    assert "targets overlap 4 eras" in html
    assert html.index("<th>rank</th>") < html.index("m49") < html.index("m48")
    assert "and 20 more rows" in html
    assert ">nan<" not in html
    assert "<th>note</th>" not in html  # nothing to note
    late = {name: gapped(scores, slice(0, 20)) for name, scores in made(2).items()}
    html = evaluated({"corr": made(2), "corr20": made(2), "mmc": late})._repr_html_()
    assert "corr, corr20: over 60 eras that all 2 have; mmc: over 40 eras that all 2 have" in html
    assert "<th>eras_mmc</th>" not in html
    small = {"m0": np.full(60, 4e-5), "m1": np.full(60, 0.5)}
    assert "<td>0.00004</td>" in evaluated({"corr": small})._repr_html_()


def test_a_folder_of_results_keeps_how_its_models_were_compared(tmp_path, call):
    lucky_noise().to_parquet(tmp_path / "eras.parquet")
    options = ["--over", "own", "--least", 0.1, "--overlap", 2, "--trials", 50, "--recent", 40]
    command = ["evaluate", tmp_path / "eras.parquet", "--target", "target_20", "--metric", "corr"]
    call(*command, "--engine", "numpy", *options, "-o", tmp_path / "out")
    found, receipt = read_evaluation(tmp_path / "out")
    assert found.how == Comparing("own", 0.1, 2, 50)
    assert receipt["compared"] == found.how._asdict()
    assert len(found.labels) == 40
    table = pd.read_parquet(tmp_path / "out/table.parquet")
    assert table["rank"].notna().all()
    assert table["model"].tolist()[0] == "noise"  # that is what over="own" asks for
    rows = pd.read_parquet(tmp_path / "out/uncertainty.parquet")
    expected = found.columns("uncertainty")
    np.testing.assert_array_equal(rows["mean_se"], expected["mean_se"])
    endless = pd.read_parquet(tmp_path / "out/eras.parquet").assign(corr=np.inf).to_parquet()
    hashes = receipt["files"] | {"eras.parquet": sha256(endless).hexdigest()}
    for name, change, words in (
        ("other", {"compared": receipt["compared"] | {"over": "all"}}, "over must be .* not 'all'"),
        ("other", {"targets": []}, "by zero"),
        ("eras.parquet", {"files": hashes}, r"a score that is not below 1e\+75"),
    ):
        (tmp_path / "out" / name).write_bytes(endless)
        (tmp_path / "out/receipt.json").write_text(json.dumps(receipt | change))
        with pytest.raises(mmc_gpu.RoundError, match=words) as error:
            read_evaluation(tmp_path / "out")
        assert error.value.code == "receipt-invalid"


@given(st.integers(0, 2**32), st.sampled_from(["common", "own"]), st.sampled_from([0.2, 0.9, 1]))
def test_the_rules_hold_whatever_is_missing(seed, over, least):
    rng = np.random.default_rng(seed)
    eras, size = int(rng.integers(1, 30)), int(rng.integers(1, 7))
    names, missing = [f"m{n}" for n in range(size)], rng.random(size) * rng.choice([0.1, 0.5])
    own = {name: rng.normal(size=eras) for name in names}
    for name, share in zip(names, missing, strict=True):
        own[name][rng.random(eras) < share] = np.nan
    benchmarks = [name for name in names if rng.random() < 0.25]
    evaluation = evaluated({"corr": own}, benchmarks).compare(over=over, least=least)
    table = evaluation.table.set_index("model")

    def has(name, era):
        return not np.isnan(own[name][era])

    models = [name for name in names if name not in benchmarks] or names
    having = [sum(has(name, era) for name in models) for era in range(eras)]
    counting = [era for era in range(eras) if having[era] and 2 * having[era] >= len(models)]
    had = {name: sum(has(name, era) for era in counting) for name in names}
    enough = [name for name in names if had[name] and had[name] / len(counting) >= least - 1e-12]
    common = [e for e in counting if all(has(n, e) for n in enough if n in models)]
    together = over == "common" and 2 * len(common) >= len(counting)
    for name in names:
        used = common if together and name in enough else range(eras)
        scores = [own[name][era] for era in used if has(name, era)]
        assert table.loc[name, "eras"] == len(scores)
        np.testing.assert_allclose(table.loc[name, "corr"], np.mean(scores) if scores else np.nan)
        assert (table.loc[name, "note"] == "") == (name in enough)
    means = table["corr"][: len(enough)].tolist()
    assert sorted(table.index[: len(enough)]) == sorted(enough)
    assert means == sorted(means, reverse=True)
    ranked = [name for name in table.index if name in enough and name not in benchmarks]
    assert evaluation.standing().best == (ranked[0] if ranked else None)
