"""Least squares on features: near dependence, at it, and with more features than stocks."""

import numpy as np
import pandas as pd
import pytest
from made_eras import LEAST_SQUARES, assert_all_agree, make_era, quiet

from mmc_gpu import metrics
from mmc_gpu.metrics.neutral import RCOND, first_alike, orthonormal

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")

SPECTRA = {
    "independent": [1, 0.5, 0.2, 0.1],
    "nearly dependent": [1, 0.5, 1e-3, 1.6e-6],
    "counted as dependent": [1, 0.5, 1e-3, 3e-7],
    "dependent": [1, 0.5, 1e-3, 0],
    "large": [1e9, 1e8, 1e8, 1e8],
    "small": [1e-9, 1e-9, 1e-9, 1e-9],
}
"""Singular values of four features, those of a column of ones aside."""


def test_a_constant_feature_beside_which_all_vanish_leaves_no_message(capfd):
    rows = np.array([np.full(7, 1e300), np.arange(7.0), np.ones(7)])
    basis = orthonormal(rows)
    assert basis.shape == (1, 7)
    assert capfd.readouterr() == ("", "")


def features_of(spectrum, stocks=200):
    """Return (stocks, 4) features, orthogonal to ones, with these singular values times 10."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=(stocks, 4))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return left * np.array(spectrum) * 10 @ right


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_what_is_spanned_is_what_least_squares_fits(spectrum):
    matrix = np.column_stack([features_of(SPECTRA[spectrum]), np.ones(200)])
    series = np.random.default_rng(1).normal(size=(200, 3))
    basis = orthonormal(matrix.T)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    expected = matrix @ np.linalg.lstsq(matrix, series, RCOND)[0]
    np.testing.assert_allclose(basis.T @ (basis @ series), expected, 0, LEAST_SQUARES)


@pytest.mark.parametrize("change", ["as they are", "a copy", "a constant", "all constant", "wide"])
def test_features_that_depend_on_each_other_agree_with_numerai_tools(engines, change):
    era = make_era(200, 5, 30)
    features = era.features.drop(columns="feature 29")  # the sum of the others
    if change == "a copy":
        features = features.assign(copy=features["feature 3"] * 2)
    elif change == "a constant":
        features = features.assign(constant=0.5, zero=0.0)
    elif change == "all constant":
        features = features.iloc[:, :2] * 0 + 0.5
    elif change == "wide":
        features = pd.concat([features * (n + 1) for n in range(10)], axis=1)
        features.columns = range(features.shape[1])
    for name, *arguments in (
        ("neutralize", era.predictions, features),
        ("feature_neutral_corr", era.predictions, features, era.targets),
    ):
        expected, ours = quiet(getattr(scoring, name), *arguments), getattr(metrics, name)
        assert_all_agree(engines, expected, ours, *arguments, tolerance=LEAST_SQUARES)


def test_only_what_nearly_counts_needs_singular_vectors(monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("an SVD")

    def spanned(spectrum):
        return orthonormal(np.column_stack([features_of(SPECTRA[spectrum]), np.ones(200)]).T)

    monkeypatch.setattr(np.linalg, "svd", refused)
    assert len(spanned("independent")) == 5
    assert len(spanned("dependent")) == 4
    for spectrum in ("nearly dependent", "counted as dependent"):
        with pytest.raises(AssertionError, match="an SVD"):
            spanned(spectrum)


@pytest.mark.parametrize("kind", ["bins", "one-hot"])
def test_stocks_that_are_alike_stay_tied(engine, kind):
    era = make_era(1000, 8, 2, kind=kind)
    ranked = metrics.gaussian(metrics.rank(era.predictions))
    result = metrics.neutralize(ranked, era.features, engine=engine)
    for user in ranked:
        alike = era.features.assign(predicted=ranked[user]).value_counts()
        assert result[user].nunique() == len(alike)
    assert any(result.nunique() < 100)


def test_zeros_are_alike_whatever_their_sign():
    features = np.array([[0.0, -0.0, 1.0, 0.0], [2.0, 2.0, 2.0, 3.0]])
    assert first_alike(features).tolist() == [0, 0, 2, 3]
    many = np.vstack([np.zeros((40, 4)), features])  # more than tell most stocks apart
    assert first_alike(many).tolist() == [0, 0, 2, 3]
    assert first_alike(np.eye(4)) is None
    assert first_alike(np.vstack([np.zeros((40, 4)), np.eye(4)])) is None
