"""The sample round against what is known of real ones; the figures are the literal statistics."""

import hashlib
import os
import subprocess
import sys
from math import isclose

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmc_gpu.rounds.sample import SampleRound, make_sample_round, write_sample_round

scipy = pytest.importorskip("scipy", reason="scipy is not installed")


@pytest.fixture(scope="module")
def sample() -> SampleRound:
    return make_sample_round(users=3000, stocks=1500, seed=1)


@pytest.fixture(scope="module")
def ranks(sample: SampleRound) -> np.ndarray:
    """(U, N), mean 0, length 1."""
    ranks = pd.DataFrame(sample.predictions.T).rank(method="first").to_numpy().T
    ranks = ranks - ranks.mean(1, keepdims=True)
    return ranks / np.linalg.norm(ranks, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def meta_model(sample: SampleRound) -> np.ndarray:
    """(N,) ranks of the stake-weighted mean, mean 0, length 1."""
    stakes = pd.Series(sample.stakes).reindex(sample.users).fillna(0.0).to_numpy()
    meta_model = (stakes @ sample.predictions).argsort().argsort() - 749.5
    return meta_model / np.linalg.norm(meta_model)


@pytest.fixture(scope="module")
def outcome(sample: SampleRound) -> np.ndarray:
    """(N,) the target, mean 0, length 1."""
    target = sample.targets["target"] - sample.targets["target"].mean()
    return target / np.linalg.norm(target)


def stakes_of(stakers: int, seed: int = 1) -> np.ndarray:
    return np.array([*make_sample_round(round(stakers / 0.6), 20, seed).stakes.values()])


def gini(stakes: np.ndarray) -> float:
    shares = np.sort(stakes).cumsum() / stakes.sum()
    return 1 - 2 * float(np.trapezoid([0, *shares], dx=1 / len(stakes)))


def test_shapes_and_names_are_those_of_a_round(sample):
    assert sample.predictions.shape == (3000, 1500)
    assert sample.predictions.dtype == np.float64
    assert sample.predictions.min() >= 0
    assert sample.predictions.max() <= 1
    assert len(set(sample.users)) == 3000
    assert len(set(sample.ids)) == 1500
    assert sample.ids == sorted(sample.ids)
    assert set(sample.stakes) < set(sample.users)


def test_user_names_stay_unique_beyond_the_word_pairs():
    assert len(set(make_sample_round(users=12_000, stocks=20).users)) == 12_000


def test_the_same_seed_gives_the_same_round_and_another_seed_another():
    first, again, other = (make_sample_round(20, 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.predictions, again.predictions)
    assert (first.ids, first.users, first.stakes) == (again.ids, again.users, again.stakes)
    assert (first.predictions != other.predictions).any()


@pytest.mark.parametrize("users", [1, 2, 5])
def test_a_tiny_round_has_a_staker_and_no_constant_submission(users):
    sample = make_sample_round(users, stocks=20)
    assert sample.stakes
    assert (np.ptp(sample.predictions, axis=1) > 0).all()


@pytest.mark.parametrize(("users", "stocks"), [(0, 100), (10, 19)])
def test_a_size_that_cannot_look_real_is_refused(users, stocks):
    with pytest.raises(ValueError, match="at least 1 and 20"):
        make_sample_round(users, stocks)


def test_three_in_five_submissions_are_staked(sample):
    assert len(sample.stakes) == 1800


def test_stakes_are_distributed_as_real_ones():
    stakes = stakes_of(6279)
    quantiles = np.quantile(stakes, [0.5, 0.9, 0.99, 1])
    np.testing.assert_allclose(quantiles, [2.2, 177, 3133, 17143], rtol=0.1)
    assert ((stakes >= 0.0095) & (stakes < 0.0165)).mean() == pytest.approx(0.11, abs=0.02)
    assert np.sort(stakes)[-100:].sum() / stakes.sum() == pytest.approx(0.56, abs=0.03)
    assert gini(stakes) == pytest.approx(0.93, abs=0.01)
    assert stakes.sum() ** 2 / (stakes @ stakes) == pytest.approx(190, abs=20)


@pytest.mark.parametrize(
    ("file", "distance"),
    [("real_stakes_2023-03-08.csv", 0.07), ("real_stakes_round270_2021-07.csv", 0.2)],
)
def test_stakes_follow_those_of_two_real_rounds(shared, file, distance):
    # the model is of 2023; in 2021 the median was three times larger
    real = pd.read_csv(shared / "data" / file)["nmr"].to_numpy()
    stakes = stakes_of(len(real))
    assert scipy.stats.ks_2samp(real, stakes).statistic < distance
    assert isclose(gini(stakes), gini(real), abs_tol=0.06)


def test_correlation_with_the_meta_model_is_spread_as_in_real_rounds(ranks, meta_model):
    quantiles = np.quantile(ranks @ meta_model, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    real = [-0.02, 0.26, 0.55, 0.74, 0.86, 0.94, 0.97]
    np.testing.assert_allclose(quantiles, real, atol=0.05)


def test_mmc_against_the_full_meta_model_is_spread_as_in_real_rounds(ranks, meta_model, outcome):
    residuals = ranks - np.outer(ranks @ meta_model, meta_model)
    # covariance of uniform ranks (deviation 0.2887) and the target (0.2236), by 0.0841
    mmc = residuals @ outcome * 0.2887 * 0.2236 / 0.0841
    assert mmc.std() == pytest.approx(0.007, abs=0.001)


def test_mean_corr_is_slightly_positive(ranks, outcome):
    assert 0.01 < (ranks @ outcome).mean() < 0.02


def test_some_submissions_are_duplicates_rounded_or_mirrored(sample, ranks, meta_model):
    originals = np.unique(sample.predictions, axis=0)
    values = np.array([len(np.unique(row)) for row in originals])
    assert 1 - len(originals) / 3000 == pytest.approx(0.15, abs=0.01)
    assert (values < 1450).mean() == pytest.approx(0.08, abs=0.02)  # seven decimals tie a few
    assert 0.001 < (ranks @ meta_model < -0.1).mean() < 0.01


def test_every_target_has_the_real_shares_and_the_auxiliary_one_follows_the_main(sample):
    for target in sample.targets.values():
        values, counts = np.unique(target, return_counts=True)
        assert values.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert (counts / 1500).tolist() == [0.05, 0.2, 0.5, 0.2, 0.05]
    assert 0.6 < scipy.stats.spearmanr(*sample.targets.values()).statistic < 0.9


def test_written_files_hold_the_round_to_the_bit(tmp_path):
    sample = make_sample_round(users=30, stocks=40)
    write_sample_round(tmp_path / "round", sample)

    predictions = pq.read_table(tmp_path / "round" / "predictions.parquet")
    assert predictions.column_names == ["id", *sample.users]
    assert predictions["id"].to_pylist() == sample.ids
    np.testing.assert_array_equal(
        [predictions[user].to_numpy() for user in sample.users], sample.predictions
    )
    stakes = pd.read_csv(tmp_path / "round" / "stakes.csv", dtype=str)
    assert stakes.set_index("user")["stake"].map(float).to_dict() == sample.stakes
    targets = pd.read_csv(tmp_path / "round" / "targets.csv", index_col="id")
    pd.testing.assert_frame_equal(
        targets, pd.DataFrame(sample.targets, pd.Index(sample.ids, name="id"))
    )


def test_no_processor_and_no_blas_changes_the_round():
    disabled = "X86_V4 AVX512_ICL AVX512_SPR"  # NumPy 2.4 and newer
    disabled += " AVX512F AVX512CD AVX512_SKX"
    other = {
        "OPENBLAS_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": disabled,
    }
    code = (
        "import hashlib; from mmc_gpu.rounds.sample import make_sample_round as make;"
        "print(hashlib.sha256(make().predictions.tobytes()).hexdigest())"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | other,
        capture_output=True,
        text=True,
        check=True,
    )
    own = hashlib.sha256(make_sample_round().predictions.tobytes()).hexdigest()
    assert found.stdout.strip() == own
