"""Tables over ranks, and what follows from their bits."""

import numpy as np
import pytest
from made_eras import make_era

from mmc_gpu import metrics
from mmc_gpu.engines import GROUP
from mmc_gpu.metrics.population.tables import pow15

scipy = pytest.importorskip("scipy", reason="scipy is not installed")


@pytest.mark.parametrize("stocks", [3, 4, 5000])
def test_tables_hold_the_quantiles_of_every_rank(stocks):
    uniform = np.arange(1, 2 * stocks) / 2 / stocks
    np.testing.assert_array_equal(metrics.rank_table("uniform", stocks), uniform)
    quantiles = scipy.stats.norm.ppf(uniform)
    np.testing.assert_allclose(metrics.rank_table("gauss", stocks), quantiles, 1e-12, 1e-14)
    powered = np.sign(quantiles) * np.abs(quantiles) ** 1.5
    np.testing.assert_allclose(metrics.rank_table("gauss15", stocks), powered, 1e-12, 1e-14)


@pytest.mark.parametrize("kind", ["gauss", "gauss15"])
def test_quantiles_are_odd(kind):
    table = metrics.rank_table(kind, 1001)
    np.testing.assert_array_equal(table, -table[::-1])
    assert table[1000] == 0
    assert (np.diff(table) > 0).all()


def test_pow15_keeps_the_sign():
    assert pow15(np.array([-4.0, 0.0, 9.0])).tolist() == [-8.0, 0.0, 27.0]


def test_tables_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        metrics.rank_table("gauss", 10)[0] = 0


def test_digests_tell_tables_apart():
    digests = {
        metrics.table_digest(kind, stocks)
        for kind in ("uniform", "gauss", "gauss15")
        for stocks in (10, 11)
    }
    assert len(digests) == 6
    # twentieths, rounded correctly: the same on every machine
    assert metrics.table_digest("uniform", 10).startswith("740dd47cb512c7a2")


def test_negated_predictions_get_negated_scores(engine):
    era = make_era(60, 4)
    for score in (
        lambda p: metrics.numerai_corr(p, era.targets, engine=engine),
        lambda p: metrics.correlation_contribution(p, era.meta_model, era.targets, engine=engine),
        lambda p: metrics.alpha(p, era.features, era.sample_weights, era.targets, engine=engine),
    ):
        np.testing.assert_array_equal(score(-era.predictions), -score(era.predictions))


def test_a_copy_of_the_meta_model_contributes_exactly_nothing(engine):
    era = make_era(60, 4)
    predictions = era.predictions.assign(copy=era.meta_model, monotone=era.meta_model**3 + 1)
    scores = metrics.correlation_contribution(
        predictions, era.meta_model, era.targets, engine=engine
    )
    assert scores["copy"] == scores["monotone"] == 0.0


def test_a_series_correlates_with_itself_exactly(engine):
    rng = np.random.default_rng(0)
    for stocks in range(20, 200, 7):
        series = rng.random((stocks, 2)).round(2)
        one = series[:, 0]
        assert metrics.spearman_correlation(one, one, engine=engine) == 1
        assert metrics.spearman_correlation(one, -one, engine=engine) == -1
        assert metrics.churn(one, one, engine=engine) == 0
        twice = np.column_stack([one, one, series[:, 1]])
        assert (metrics.mcwnm(twice, ranked=True, engine=engine)[:2] == 1).all()


@pytest.mark.parametrize("ends", [None, 3])
def test_blocks_of_users_are_scored_alike(engine, ends):
    era = make_era(20, GROUP + 30)
    arguments = era.meta_model, era.targets, ends
    together = metrics.correlation_contribution(era.predictions, *arguments, engine=engine)
    for some in (slice(0, 40), slice(GROUP - 20, None)):
        users = era.predictions.iloc[:, some]
        alone = metrics.correlation_contribution(users, *arguments, engine=engine)
        np.testing.assert_array_equal(together.iloc[some], alone)


def test_other_users_do_not_move_a_score(engine):
    era = make_era(60, 6)
    together = metrics.correlation_contribution(
        era.predictions, era.meta_model, era.targets, engine=engine
    )
    for user in era.predictions:
        alone = metrics.correlation_contribution(
            era.predictions[[user]], era.meta_model, era.targets, engine=engine
        )
        assert alone[user] == together[user]
