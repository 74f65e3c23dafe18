"""What must not move a score, to the bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rounds import MadeRound, make_round, make_touchy_round, rounds

import mmc_gpu
from mmc_gpu.engines import load_engine
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.sample import make_sample_round
from mmc_gpu.rounds.scoring import score as score_taken

TIES, BLENDS = st.sampled_from(["first", "average"]), st.sampled_from(["raw", "ranked"])
SEEDS = st.integers(0, 2**32)
ARRAYS = ("mmc", "mmc_se", "corr", "corr_with_meta_model", "per_draw")


def score(made: MadeRound, engine, **options):
    return mmc_gpu.score_round(*made.frames(), engine=engine, **options)


def assert_same_scores(scores, expected):
    """Assert that the users of `expected` have the same bits; stakes may differ, users be added."""
    places = [scores.users.index(user) for user in expected.users]
    for name in ARRAYS:
        result = getattr(scores, name)
        axis = 0 if result.ndim == 1 else 1
        result = np.ascontiguousarray(result.take(places, axis))
        np.testing.assert_array_equal(result, getattr(expected, name), err_msg=name)
        assert result.tobytes() == getattr(expected, name).tobytes(), name


@given(rounds(), SEEDS, TIES, BLENDS, st.sampled_from([1, 20]))
def test_the_order_of_rows_and_users_changes_nothing(engine, made, seed, ties, blend, draws):
    predictions, stakes, target = made.frames()
    shuffled = {"frac": 1, "random_state": np.random.RandomState(seed % 2**32)}
    options = {"ties": ties, "blend": blend, "draws": draws, "engine": engine}
    scores = mmc_gpu.score_round(
        predictions.sample(**shuffled).sample(axis=1, **shuffled),
        stakes.sample(**shuffled),
        target.sample(**shuffled),
        **options,
    )
    expected = mmc_gpu.score_round(predictions, stakes, target, **options)
    assert scores.users == made.users
    assert scores.digest == expected.digest
    assert_same_scores(scores, expected)


def test_the_order_of_users_changes_nothing_where_sums_are_touchy(engine):
    made = make_touchy_round(models=33, ids=300, staked=30)
    predictions, stakes, target = made.frames()
    reversed_users = predictions.iloc[:, ::-1]
    scores = mmc_gpu.score_round(reversed_users, stakes, target, engine=engine)
    assert scores.digest == score(made, engine).digest


@given(rounds(), st.integers(-50, 50), st.integers(-50, 50))
def test_stakes_times_a_power_of_two_change_nothing(engine, made, one, other):
    # within the [1e-18, 1e15] that a stake may be, 2^100 apart at most
    stakes = made.stakes.clip(0.002, 0.8) * (made.stakes > 0)
    assert_same_scores(
        score(replace(made, stakes=np.ldexp(stakes, one)), engine),
        score(replace(made, stakes=np.ldexp(stakes, other)), engine),
    )


@given(rounds(unstaked=1), SEEDS, TIES, BLENDS)
def test_a_monotone_map_of_an_unstaked_submission_changes_nothing(engine, made, seed, ties, blend):
    mapped = made.predictions.copy()
    values, places = np.unique(mapped[-1], return_inverse=True)
    steps = np.random.default_rng(seed).exponential(1e6, len(values))
    mapped[-1] = (steps.cumsum() - 3e6)[places]
    options = {"ties": ties, "blend": blend}
    scores = score(replace(made, predictions=mapped), engine, **options)
    assert scores.digest == score(made, engine, **options).digest


@given(rounds(), SEEDS, TIES, BLENDS, st.sampled_from(["a", "user_00000b", "zz", "\U0001f40b"]))
def test_an_unstaked_newcomer_changes_nobodys_score(engine, made, seed, ties, blend, name):
    predictions, stakes, target = made.frames()
    newcomer = np.random.default_rng(seed).normal(0, 1e9, len(target))
    scores = mmc_gpu.score_round(
        predictions.assign(**{name: newcomer}),
        stakes,
        target,
        ties=ties,
        blend=blend,
        engine=engine,
    )
    assert len(scores.users) == len(made.users) + 1
    assert_same_scores(scores, score(made, engine, ties=ties, blend=blend))


@given(rounds(unstaked=1), SEEDS, TIES, BLENDS)
def test_negating_an_unstaked_submission_flips_its_sign(engine, made, seed, ties, blend):
    predictions = made.predictions.copy()
    predictions[-1] = np.random.default_rng(seed).permutation(len(made.target)) / 10
    negated = predictions.copy()
    negated[-1] *= -1
    options = {"ties": ties, "blend": blend}
    scores = score(replace(made, predictions=negated), engine, **options)
    expected = score(replace(made, predictions=predictions), engine, **options)
    np.testing.assert_array_equal(scores.draws[-1], -expected.draws[-1])
    np.testing.assert_array_equal(scores.mmc_se[:, -1], expected.mmc_se[:, -1])
    np.testing.assert_array_equal(scores.corr[:, -1], -expected.corr[:, -1])
    np.testing.assert_array_equal(
        scores.corr_with_meta_model[-1], -expected.corr_with_meta_model[-1]
    )


@given(rounds(), TIES, BLENDS)
def test_identical_submissions_score_the_same_whatever_their_stakes(engine, made, ties, blend):
    twins = np.repeat(made.predictions, 2, axis=0)
    stakes = np.sort(np.concatenate([made.stakes * 1000, made.stakes]))[::-1]
    scores = score(replace(made, predictions=twins, stakes=stakes), engine, ties=ties, blend=blend)
    np.testing.assert_array_equal(scores.draws[::2], scores.draws[1::2])
    np.testing.assert_array_equal(scores.corr[:, ::2], scores.corr[:, 1::2])


@given(rounds(), TIES)
def test_twenty_draws_are_the_first_of_fifty(engine, made, ties):
    fifty, twenty = (score(made, engine, draws=draws, ties=ties).draws for draws in (50, 20))
    np.testing.assert_array_equal(fifty[:, :20], twenty)


@given(rounds(), st.integers(-9, 9))
def test_a_shifted_target_four_times_as_wide_scores_four_times_as_much(engine, made, shift):
    moved = score(replace(made, target=made.target * 4 + shift), engine)
    expected = score(made, engine)
    np.testing.assert_array_equal(moved.draws, 4 * expected.draws)
    np.testing.assert_array_equal(moved.corr, expected.corr)


@given(rounds(), st.data())
def test_mixed_float32_and_float64_score_as_their_values_do(engine, made, data):
    predictions, stakes, target = made.frames()
    single = data.draw(st.sets(st.sampled_from(made.users)))
    mixed = predictions.astype({user: np.float32 for user in single})
    expected = mmc_gpu.score_round(mixed.astype(np.float64), stakes, target, engine=engine)
    scores = mmc_gpu.score_round(mixed, stakes, target, engine=engine)
    assert scores.digest == expected.digest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layout_and_container_change_nothing(engine, dtype):
    made = make_round(models=9, ids=80)
    predictions, stakes, target = made.frames()
    predictions = predictions.astype(dtype)
    expected = mmc_gpu.score_round(predictions, stakes, target, engine=engine).digest
    names = {"ids": made.ids, "users": made.users, "engine": engine}
    for array in (np.ascontiguousarray(predictions), np.asfortranarray(predictions)):
        array.flags.writeable = False
        assert mmc_gpu.score_round(array, made.stakes, made.target, **names).digest == expected

    pl = pytest.importorskip("polars")
    frame = pl.from_pandas(predictions.rename_axis("id").reset_index())
    targets = pl.DataFrame({"id": made.ids, "target": made.target})
    for table in (frame, frame.to_arrow(), predictions.rename_axis("id").reset_index()):
        scores = mmc_gpu.score_round(table, stakes.to_dict(), targets, engine=engine)
        assert scores.digest == expected


def test_inputs_are_left_as_they_were(engine):
    made = make_round(models=9, ids=60)  # read-only arrays
    frames = made.frames()
    copies = [frame.copy() for frame in frames]
    mmc_gpu.score_round(*frames, engine=engine)
    mmc_gpu.score_round(made.predictions.T, made.stakes, made.target, engine=engine)
    for frame, copy in zip(frames, copies, strict=True):
        assert frame.equals(copy)


@pytest.mark.parametrize(("blend", "shuffled"), [("raw", False), ("raw", True), ("ranked", True)])
def test_block_size_changes_nothing(engine, blend, shuffled):
    made = make_touchy_round(models=2100, ids=200, staked=2060)
    predictions, stakes, target = made.frames()
    if shuffled:
        predictions = predictions.sample(frac=1, axis=1, random_state=5)
    round_ = take_round(predictions, stakes, target, blend=blend)
    method = Method(draws=5, blend=blend)
    expected = score(made, engine, draws=5, blend=blend)
    for rows in (100, 1024, 5000):
        scores = score_taken(round_, method, engine, block_rows=rows)
        assert scores.digest == expected.digest


@pytest.fixture(scope="module")
def numpy_engine(engine):
    if engine.name == "numpy":
        pytest.skip("the NumPy engine is what the others are compared with")
    return load_engine("numpy")


@pytest.fixture(scope="module")
def sample():
    return make_sample_round(users=100, stocks=700)


@pytest.mark.parametrize("ties", ["first", "average"])
@pytest.mark.parametrize("blend", ["raw", "ranked"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_engine_gives_the_bits_of_numpy(engine, numpy_engine, sample, ties, blend, dtype):
    predictions = pd.DataFrame(sample.predictions.T.astype(dtype), sample.ids, sample.users)
    targets = pd.DataFrame(sample.targets, sample.ids)
    scores, expected = (
        mmc_gpu.score_round(
            predictions, sample.stakes, targets, ties=ties, blend=blend, engine=where
        )
        for where in (engine, numpy_engine)
    )
    assert_same_scores(scores, expected)
    assert scores.digest == expected.digest


@given(rounds(), TIES, BLENDS, st.booleans())
def test_engines_agree_on_any_round(engine, numpy_engine, made, ties, blend, single):
    if single:
        made = replace(made, predictions=made.predictions.astype(np.float32))
    scores, expected = (
        score(made, where, ties=ties, blend=blend) for where in (engine, numpy_engine)
    )
    assert_same_scores(scores, expected)
