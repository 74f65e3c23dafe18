"""The method's published design claims hold, in `benchmarks/large/design_claims.py`."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import mmc_gpu

FILE = Path(__file__).parents[2] / "benchmarks/large/design_claims.py"


@pytest.fixture(scope="module")
def claims():
    """The module, by its place: benchmarks/ is no part of an installed package."""
    spec = importlib.util.spec_from_file_location("design_claims", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def per_draw(scores, rows):
    """Return the bits of the users of the first rows, in the order of their names."""
    places = [scores.users.index(f"{row:06d}") for row in range(rows)]
    return scores.per_draw[:, places]


def test_a_thousand_unstaked_copies_change_nobodys_score_by_a_bit(claims):
    pool = claims.sample_pool(users=60, stocks=300)
    copies = np.repeat(pool.predictions[:1], 1000, axis=0)
    attacked = pool.with_users(copies, 0.0).score()
    np.testing.assert_array_equal(per_draw(attacked, 60), per_draw(pool.score(), 60))


def test_copies_gain_nothing_by_sharing_a_stake_and_all_where_stakes_do_not_count(claims):
    rows = np.array(claims.copies_against_stake((0, 1000)).rows)
    _, unstaked, shared, equal = rows.T
    assert unstaked[0] == unstaked[1]
    assert abs(shared[1] - shared[0]) < 1e-3
    assert equal[1] > 0.99


def test_values_outside_are_refused_raw_and_worth_nothing_ranked(claims):
    inside, outside = claims.values_outside((1.0, 1e9)).rows
    assert outside[1] > 0.99  # what they would have bought
    assert np.isfinite(inside[2])
    assert np.isnan(outside[2])
    assert outside[3] == inside[3]


def test_a_raw_value_outside_names_its_fault(claims):
    pool = claims.sample_pool(users=20, stocks=100)
    attacked = pool.with_users(pool.predictions[:1] * 1e9, 3e-4)
    with pytest.raises(mmc_gpu.RoundError) as caught:
        attacked.score()
    assert caught.value.code == "prediction-range"


def test_sampling_softens_the_blow_of_a_whale(claims):
    table = claims.whale_with_your_predictions((0.0, 0.05, 0.5, 0.8), users=3)
    _, small, half, most = table.rows
    assert min(small[1:]) > 0.8
    assert half[2] > half[1] + 0.1
    assert most[2] > 0.4 > 0.2 > most[1]


def test_submitting_the_meta_model_earns_nothing(claims):
    ((_, corr, mmc, spread, lone),) = claims.submitting_the_meta_model((300,)).rows
    assert corr > 0.01
    assert abs(mmc) < 0.25 * spread
    assert lone == 0.0


def test_originality_is_punished_in_a_burn_only_for_what_it_lost_itself(claims):
    rows = np.array(claims.originality_when_the_meta_model_burns().rows)
    worthless, equal = rows[::2], rows[1::2]
    np.testing.assert_allclose(worthless[:, 2], 0.0, atol=0.003)
    assert (np.diff(worthless[:, 3]) < -0.005).all()  # the original loses least
    np.testing.assert_allclose(equal[:, 1], equal[0, 1], atol=0.003)
    assert (np.diff(equal[:, 2]) > 0.005).all()  # of equal CORR, the original has the worst MMC


def test_every_table_is_shown_within_80_columns(claims):
    table = claims.Table("A claim. " * 20, ("a", "b"), [(0.0, np.nan), (1e9, 0.12345)])
    lines = claims.shown(table).split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[-2].split() == ["0", "refused"]
    assert lines[-1].split() == ["1e+09", "0.1235"]
