"""Scores of whole rounds: against the oracle, by hand at the edges, and as tables.

Long, because the engines share these rounds.
"""

import dataclasses
import hashlib
import struct

import numpy as np
import pandas as pd
import pytest
from made_rounds import MadeRound, make_round, make_touchy_round
from oracle import oracle_scores

import mmc_gpu
from mmc_gpu import RoundError, metrics
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.sample import make_sample_round
from mmc_gpu.rounds.scoring import score as score_checked

TOLERANCE = 1e-12
"""Of sd(target) / scale for contributions, of 1 for correlations: least squares in float64 leave
residuals good to some 1e-16 of a uniform, and N of them are summed."""


def score(made: MadeRound, engine, **options):
    return mmc_gpu.score_round(*made.frames(), engine=engine, **options)


def deviation(target: np.ndarray) -> float:
    size = np.abs(target).max()  # 1e300 squared overflows
    return (target / size).std() * size


def assert_all_agree(engines, made: MadeRound, **options):
    """Assert that each engine's scores of a round are the oracle's, which is asked once."""
    expected = oracle_scores(made.predictions, made.stakes, made.target, **options)
    for engine in engines:
        assert_agrees(score(made, engine, **options), made, expected=expected, **options)


def assert_agrees(scores, made: MadeRound, target: int = 0, expected=None, **options):
    """Assert that scores are the oracle's; it knows the same options by the same names."""
    if expected is None:
        expected = oracle_scores(made.predictions, made.stakes, made.target, **options)
    within = TOLERANCE * deviation(made.target) / options.get("scale", 0.0841)
    assert scores.users == made.users
    for name, unit in (("mmc", within), ("mmc_se", within), ("corr", TOLERANCE)):
        result = getattr(scores, name)[target]
        np.testing.assert_allclose(result, expected[name], rtol=0, atol=unit, err_msg=name)
    result, draws = scores.corr_with_meta_model, scores.per_draw[target]
    np.testing.assert_allclose(result, expected["corr_with_meta_model"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(draws, expected["draws"], rtol=0, atol=within)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ties": "average"},
        {"blend": "ranked"},
        {"blend": "ranked", "ties": "average"},
        {"scale": 1 / 12},
        {"draws": 1, "sample": 0.29, "seed": 2**64 - 1},
        {"draws": 50, "sample": 1.0},
    ],
    ids=str,
)
def test_scores_are_those_of_the_oracle(engines, options):
    assert_all_agree(engines, make_round(models=20, ids=200), **options)


@pytest.mark.parametrize("ties", ["first", "average"])
def test_thirty_equal_stakes_with_two_decimals_agree(engines, ties):
    assert_all_agree(engines, make_touchy_round(models=33, ids=300, staked=30), ties=ties)


def test_a_realistic_round_agrees(engines):
    sample = make_sample_round(users=50, stocks=400)
    names = sorted(sample.users, key=lambda user: (user not in sample.stakes, user))
    rows = [sample.users.index(user) for user in names]
    stakes = np.array([sample.stakes.get(user, 0.0) for user in names])
    assert_all_agree(engines, MadeRound(sample.predictions[rows], stakes, sample.targets["target"]))


def test_a_pool_beyond_a_group_agrees(engines):
    assert_all_agree(engines, make_touchy_round(models=1103, ids=200, staked=1100), draws=1)


@pytest.mark.parametrize(
    "stretch",
    [
        lambda t: t + 1e6,
        lambda t: t * 1e300,
        lambda t: t * 1e-300,
        lambda t: 0.1 - t,
        lambda t: np.tan(np.pi * (t - 0.5) * 0.9999),
        np.rint,
    ],
    ids=["offset", "huge", "tiny", "negative", "heavy tails", "two values"],
)
def test_targets_of_any_kind_agree(engines, stretch):
    made = make_round(models=6, ids=120)
    noise = np.random.default_rng(2).random(120)
    assert_all_agree(engines, dataclasses.replace(made, target=stretch(noise)))


@pytest.mark.parametrize(("size", "scale"), [(1, 1e-310), (1.7e308, 1e-3)])
def test_scores_that_float64_cannot_hold_are_infinite_on_all_engines(engines, size, scale):
    made = make_round(models=6, ids=40)
    noise = np.random.default_rng(2).uniform(-1, 1, 40)
    made = dataclasses.replace(made, target=noise * size)
    numpy, *others = (score(made, engine, scale=scale) for engine in engines)
    assert np.isinf(numpy.draws).any()
    assert len(numpy.to_pandas()) == len(made.users)
    assert not np.isinf(numpy.corr).any()
    assert {other.digest for other in others} <= {numpy.digest}
    metrics.mmc_difference(numpy, *made.users[:2])


def test_several_targets_score_as_each_alone(engine):
    made = make_round(models=9, ids=80)
    predictions, stakes, target = made.frames()
    targets = pd.DataFrame({"main": target, "other": target[::-1].to_numpy(), "fine": target**0.3})
    scores = mmc_gpu.score_round(predictions, stakes, targets, engine=engine)
    assert scores.targets == ["main", "other", "fine"]
    assert scores.draws.shape == (3, 9, 20)
    for number, name in enumerate(targets):
        alone = dataclasses.replace(made, target=targets[name].to_numpy(copy=True))
        assert_agrees(scores, alone, target=number)
        np.testing.assert_array_equal(scores.draws[number], score(alone, engine).draws)


@pytest.mark.parametrize("models", [1, 2, 5])
def test_three_stocks_agree(engines, models):
    assert_all_agree(engines, make_round(models, ids=3))


def test_fewer_than_three_stocks_are_refused():
    with pytest.raises(RoundError) as caught:
        mmc_gpu.score_round([[0.1], [0.2]], [1.0], [0.0, 1.0])
    assert caught.value.code == "round-size"


def test_one_user_is_the_meta_model_and_contributes_nothing(engine):
    scores = score(make_round(models=1, ids=50), engine)
    assert scores.draws.tolist() == [[0.0] * 20]
    assert scores.mmc_se.tolist() == [[0.0]]
    assert scores.corr_with_meta_model == pytest.approx([1.0], abs=TOLERANCE)


@pytest.mark.parametrize("blend", ["raw", "ranked"])
@pytest.mark.parametrize("ties", ["first", "average"])
def test_a_lone_staker_scores_exactly_zero(engine, ties, blend):
    rng = np.random.default_rng(3)
    for predictions in (rng.random((4, 90)), rng.random((4, 90)).round(1)):
        made = MadeRound(predictions, np.array([0.1, 0, 0, 0]), make_round(1, 90).target)
        scores = score(made, engine, ties=ties, blend=blend)
        assert scores.draws[0].tolist() == [0.0] * 20
        assert scores.draws[1:].all()


def test_an_all_tied_submission_is_refused_or_quarantined(engine):
    made = make_round(models=6, ids=40)
    predictions, stakes, target = made.frames()
    tied = predictions.assign(user_00000=0.5)
    with pytest.raises(RoundError, match="user_00000") as caught:
        mmc_gpu.score_round(tied, stakes, target)
    assert caught.value.code == "prediction-constant"

    scores = mmc_gpu.score_round(tied, stakes, target, on_error="quarantine", engine=engine)
    absent = predictions.drop(columns="user_00000")
    others = mmc_gpu.score_round(absent, stakes.drop("user_00000"), target, engine=engine)
    assert [user for user, *_ in scores.quarantined] == ["user_00000"]
    assert scores.digest == others.digest


@pytest.mark.parametrize("ties", ["first", "average"])
def test_a_constant_meta_model_agrees(engine, ties):
    # x and 1 - x, equally staked and both drawn: their blend is one half everywhere
    rng = np.random.default_rng(4)
    x = rng.integers(0, 65, 100) / 64
    predictions = np.stack([x, 1 - x, rng.random(100)])
    made = MadeRound(predictions, np.array([2.0, 2.0, 0.0]), make_round(1, 100).target)
    scores = score(made, engine, ties=ties, sample=1.0)
    assert (scores.counts == 1).all(axis=1).any()
    assert_agrees(scores, made, ties=ties, sample=1.0)
    assert np.isnan(scores.corr_with_meta_model).all() == (ties == "average")


@pytest.mark.parametrize("stakes", [{}, {"user_00000": 0.0}])
def test_a_round_without_stakes_is_refused(stakes):
    predictions, _, target = make_round(models=3, ids=20).frames()
    with pytest.raises(RoundError) as caught:
        mmc_gpu.score_round(predictions, stakes, target)
    assert caught.value.code == "stake-none"


def test_a_staker_outside_the_unit_interval_is_refused_unless_ranked(engine):
    made = make_round(models=4, ids=30)
    wide = dataclasses.replace(made, predictions=made.predictions * 3 - 1)
    with pytest.raises(RoundError) as caught:
        score(wide, engine)
    assert caught.value.code == "prediction-range"
    assert_agrees(score(wide, engine, blend="ranked"), wide, blend="ranked")


def test_the_table_has_one_row_a_user_best_first(engine):
    scores = score(make_round(models=9, ids=60), engine)
    table = scores.to_pandas()
    columns = ["rank", "user", "stake", "mmc", "mmc_se", "corr", "corr_with_meta_model"]
    assert table.columns[:7].tolist() == columns
    assert table["rank"].tolist() == list(range(1, 10))
    assert sorted(table["user"]) == scores.users
    assert table["mmc"].is_monotonic_decreasing
    by_user = table.set_index("user").loc[scores.users]
    np.testing.assert_array_equal(by_user["mmc"], scores.mmc[0])
    np.testing.assert_array_equal(by_user["stake"], scores.stakes)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "array"])
def test_tables_come_back_in_the_callers_kind(kind):
    predictions, stakes, targets = make_round(4, 30).frames()
    expected = mmc_gpu.score_round(predictions, stakes, targets, engine="numpy")
    given, options = predictions, {}
    if kind in ("polars", "arrow"):
        pl = pytest.importorskip("polars", reason="the extra `test` has polars")
        given = pl.DataFrame({"id": predictions.index.to_numpy(), **predictions.to_dict("list")})
    if kind == "arrow":
        given = given.to_arrow()
    if kind == "array":
        given = predictions.to_numpy()
        options = {"ids": list(predictions.index), "users": list(predictions.columns)}
    scores = mmc_gpu.score_round(given, stakes, targets, engine="numpy", **options)
    table = scores.table
    assert isinstance(table, type(given) if kind == "polars" else pd.DataFrame)
    pd.testing.assert_frame_equal(scores.to_pandas(), expected.to_pandas(), check_exact=True)
    for name, values in expected.columns().items():
        np.testing.assert_array_equal(table[name].to_numpy(), values)


def test_the_table_of_several_targets_names_them_first(engine):
    predictions, stakes, target = make_round(models=5, ids=60).frames()
    targets = pd.DataFrame({"b": target, "a": 1 - target**2})
    table = mmc_gpu.score_round(predictions, stakes, targets, engine=engine).to_pandas()
    assert table.columns[0] == "target"
    assert table["target"].tolist() == ["b"] * 5 + ["a"] * 5
    for _, rows in table.groupby("target"):
        assert rows["mmc"].is_monotonic_decreasing


def test_a_lone_staker_correlates_with_the_meta_model_exactly(engine):
    rng = np.random.default_rng(0)
    for stocks in range(20, 120, 4):
        predictions, target = rng.random((stocks, 3)).round(2), rng.random(stocks)
        predictions[:, 1] = 1 - predictions[:, 0]
        scores = mmc_gpu.score_round(
            predictions, [1, 0, 0], target, ties="average", engine=engine.name
        )
        assert scores.corr_with_meta_model[:2].tolist() == [1, -1]


def test_a_missing_score_is_never_first(engine):
    scores = score(make_round(models=4, ids=60), engine)
    scores.mmc[0, 0] = np.nan
    assert scores.to_pandas()["user"].iloc[-1] == "user_00000"


def test_the_digest_of_a_fixed_round_is_golden(engine):
    # no random numbers, no rounding but the score's own: the same on every machine, for ever
    stocks, users = np.arange(101)[:, None], np.arange(7)
    predictions = (stocks * (users + 3) * 37 % 128) / 128
    stakes = [1.0, 2.5, 0.0, 0.01, 30.0, 0.0, 7.0]
    target = np.arange(101) * 29 % 5 / 4
    scores = mmc_gpu.score_round(predictions, stakes, target, engine=engine.name)
    assert scores.digest == "a400ea5b78566fa438fbb7ea943339da9f01232c1371a9bf3b744024658e8bc6"


def test_the_digest_is_what_its_description_says(engine):
    made = make_round(9, 50, seed=4)
    predictions, stakes, target = made.frames()
    targets = pd.DataFrame({"z": target, "a": 1 - target**2})
    scores = mmc_gpu.score_round(predictions, stakes, targets, draws=3, engine=engine.name)

    def text(name):
        return len(name).to_bytes(4, "little") + name.encode()

    method = '{"blend":"raw","draws":3,"sample":0.67,"scale":0.0841,"seed":0,"ties":"first"}'
    expected = hashlib.sha256(f"mmc_gpu scores 1\n{method}\n".encode())
    for target_name, number in (("a", 1), ("z", 0)):
        expected.update(text(target_name))
        for name in sorted(scores.users):
            user = scores.users.index(name)
            values = [
                scores.stakes[user],
                scores.mmc[number, user],
                scores.mmc_se[number, user],
                scores.corr[number, user],
                scores.corr_with_meta_model[user],
                *scores.draws[number, user],
            ]
            numbers = b"".join(struct.pack("<d", value + 0.0) for value in values)
            expected.update(hashlib.sha256(text(name) + numbers).digest())
    assert scores.digest == expected.hexdigest()


def test_draws_that_are_not_kept_are_in_the_digest_all_the_same(engine):
    made = make_round(40, 60, seed=4)
    round_ = take_round(*made.frames())
    kept = score_checked(round_, Method(draws=5), engine)
    hashed = score_checked(round_, Method(draws=5), engine, draws=False, block_rows=7)
    assert hashed.digest == kept.digest
    with pytest.raises(ValueError, match="not in memory"):
        _ = hashed.draws


def test_real_predictions_stakes_and_targets_agree(shared, engines):
    folder = shared / "data" / "real_round"
    predictions = pd.read_parquet(folder / "predictions.parquet")
    stakes = pd.read_csv(folder / "stakes.csv")
    targets = pd.read_csv(folder / "targets.csv")[["id", "target", "target_frank"]]
    given = predictions, stakes, targets
    found = [
        mmc_gpu.score_round(*given, on_error="quarantine", engine=engine) for engine in engines
    ]
    scores = found[0]
    assert {one.digest for one in found} == {scores.digest}
    assert [user for user, *_ in scores.quarantined] == ["model_0225"]  # constant

    values = predictions.set_index("id").sort_index()[scores.users].to_numpy().T
    for number, name in enumerate(scores.targets):
        target = targets.set_index("id").sort_index()[name].to_numpy()
        expected = oracle_scores(values, scores.stakes, target, draws=1)
        within = TOLERANCE * deviation(target) / 0.0841
        np.testing.assert_allclose(
            scores.draws[number][:, :1], expected["draws"], rtol=0, atol=within
        )
        np.testing.assert_allclose(scores.corr[number], expected["corr"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(
        scores.corr_with_meta_model, expected["corr_with_meta_model"], rtol=0, atol=TOLERANCE
    )


def test_a_notebook_shows_the_best_ten_and_no_name_as_html(engine):
    predictions, stakes, target = make_round(12, 40).frames()
    hostile = "<img src=x onerror=alert(1)>"
    named = predictions.rename(columns={"user_00000": hostile})
    shown = mmc_gpu.score_round(named, stakes, target, engine=engine)._repr_html_()
    assert shown.count("<tr>") == 11
    assert "and 2 more rows" in shown
    assert hostile not in shown
    few = mmc_gpu.score_round(predictions[["user_00000"]], stakes, target, engine=engine)
    assert "more rows" not in few._repr_html_()
