"""Every function of `mmc_gpu.metrics` that has an engine, on several GPUs and from their arrays."""

import inspect
from itertools import count
from threading import Barrier

import numpy as np
import pytest

from mmc_gpu import metrics
from mmc_gpu.metrics import contribution, crowd, neutral, signals
from mmc_gpu.metrics.population import cohort

RNG = np.random.default_rng(21)
STOCKS, USERS = 40, 130
PREDICTIONS = RNG.random((STOCKS, USERS))
PREDICTIONS[:, ::3] = np.round(PREDICTIONS[:, ::3], 1)
BEFORE = PREDICTIONS + RNG.normal(size=PREDICTIONS.shape)
META, TARGET, OTHER, WEIGHTS = RNG.random((4, STOCKS))
FEATURES = RNG.integers(0, 5, (STOCKS, 3)) / 4
STAKES = RNG.random(USERS)
NEUTRAL = RNG.normal(size=PREDICTIONS.shape)
WEEKS = {"one": BEFORE, "two": PREDICTIONS + 0.1 * NEUTRAL}
OF_WEEKS = {"prev_subs": WEEKS, "prev_neutralizers": dict.fromkeys(WEEKS, FEATURES)}
OF_WEEKS |= {"prev_sample_weights": dict.fromkeys(WEEKS, WEIGHTS)}
CURRENT = (PREDICTIONS, FEATURES, WEIGHTS)

CALLS = {
    "alpha": (PREDICTIONS, FEATURES, WEIGHTS, TARGET),
    "apcwnm": (PREDICTIONS,),
    "calculate_max_churn_and_turnover": (*CURRENT, *OF_WEEKS.values()),
    "calculate_mean_neutral_churn": (*CURRENT, *OF_WEEKS.values()),
    "churn": (BEFORE, PREDICTIONS),
    "contribution_scores": (NEUTRAL, TARGET, PREDICTIONS),
    "correlation": (TARGET, PREDICTIONS),
    "correlation_contribution": (PREDICTIONS, META, TARGET),
    "cwmm": (PREDICTIONS, META),
    "exposure_dissimilarity": (PREDICTIONS, OTHER, FEATURES),
    "feature_exposures": (PREDICTIONS, FEATURES),
    "feature_neutral_corr": (PREDICTIONS, FEATURES, TARGET),
    "generate_neutralized_weights": (PREDICTIONS, FEATURES, WEIGHTS),
    "legacy_contribution": (PREDICTIONS, META, TARGET),
    "max_feature_correlation": (PREDICTIONS[:, 0], FEATURES),
    "mcwnm": (PREDICTIONS,),
    "meta_portfolio_contribution": (PREDICTIONS, STAKES, FEATURES, WEIGHTS, TARGET),
    "neutral_churn": (BEFORE, PREDICTIONS, FEATURES, FEATURES),
    "neutral_contribution": (PREDICTIONS, META, FEATURES, TARGET),
    "neutral_correlation": (PREDICTIONS, FEATURES, TARGET),
    "neutralize": (PREDICTIONS, FEATURES),
    "numerai_corr": (PREDICTIONS, TARGET),
    "orthogonalize": (PREDICTIONS, META),
    "pearson_correlation": (TARGET, PREDICTIONS),
    "rank": (PREDICTIONS,),
    "rank_series": (PREDICTIONS[:, 0],),
    "spearman_correlation": (TARGET, PREDICTIONS),
    "stake_weight": (PREDICTIONS, STAKES),
    "tie_broken_rank": (PREDICTIONS,),
    "tie_broken_rank_correlation": (TARGET, PREDICTIONS),
    "tie_kept_rank": (PREDICTIONS,),
    "tie_kept_rank__gaussianize__neutralize__variance_normalize": (PREDICTIONS, FEATURES),
    "tie_kept_rank__gaussianize__pow_1_5": (PREDICTIONS,),
    "turnover": (BEFORE, PREDICTIONS),
}
ENDS = {
    name for name in CALLS if "top_bottom" in inspect.signature(getattr(metrics, name)).parameters
}


def test_every_function_with_an_engine_is_called():
    functions = {name: getattr(metrics, name) for name in metrics.__all__}
    engines = {
        name
        for name, one in functions.items()
        if inspect.isfunction(one) and "engine" in inspect.signature(one).parameters
    }
    assert engines == set(CALLS)


NEUTRALIZED = {"neutral_contribution", "neutral_correlation", "neutralize"}
NEUTRALIZED |= {"tie_kept_rank__gaussianize__neutralize__variance_normalize"}
"""On the host a BLAS multiplies with the features, whose sums have another order."""

HOST = {"apcwnm", "mcwnm", "exposure_dissimilarity", "feature_exposures", "max_feature_correlation"}
"""Values, not ranks, are multiplied with each other or with features, on the host."""

ONE = {"stake_weight", "rank_series", "max_feature_correlation"}
"""Of one sum, or of one series."""

STAY = {"alpha", "correlation", "correlation_contribution", "cwmm", "exposure_dissimilarity"}
STAY |= {"feature_exposures", "feature_neutral_corr", "legacy_contribution", "numerai_corr"}
STAY |= {"generate_neutralized_weights", "neutral_contribution", "neutral_correlation"}
STAY |= {"pearson_correlation", "spearman_correlation", "tie_broken_rank_correlation"}
"""Score predictions where they lie; the others make something of them on the host first."""


class Foreign:
    """Another library's array on a GPU."""

    def __init__(self, held):
        self.__dlpack__, self.__dlpack_device__ = held.__dlpack__, held.__dlpack_device__
        self.shape = held.shape


def foreign(engine, gpu, data):
    if isinstance(data, dict):
        return {name: foreign(engine, gpu, one) for name, one in data.items()}
    with engine._cupy.cuda.Device(gpu):
        return Foreign(engine._cupy.asarray(data))


@pytest.fixture
def many_blocks(monkeypatch, small_turns):
    monkeypatch.setattr(cohort, "_VALUES", 16 * STOCKS)
    small_turns(contribution, crowd, neutral, signals)  # 64 users a block


class Together:
    """Numbers of GPUs: a thread gets one when the other thread has asked, too."""

    def __init__(self):
        self.numbers, self.both = count(), Barrier(2, timeout=60)

    def __next__(self):
        self.both.wait()
        return next(self.numbers)


def computed(engine, name, options, given):
    """Return what a function returns, and the GPUs that have worked for it."""
    engine.machine.log()
    found = getattr(metrics, name)(*given, **options, engine=engine)
    return found, {gpu for what, _, gpu, *_ in engine.machine.logged() if what != "copy"}


def same(found, expected):
    assert type(found) is type(expected)
    np.testing.assert_equal(found, expected)


ALL = [(name, {}) for name in CALLS] + [(name, {"top_bottom": 7}) for name in sorted(ENDS)]
ALL += [(name, {"ranked": True}) for name in ("mcwnm", "apcwnm")]


@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_all_gpus_share_the_users_of_every_function(make_engine, many_blocks, name, options):
    engine = make_engine(devices=2)
    engine._numbers = Together()
    found, used = computed(engine, name, options, CALLS[name])
    assert len(used) == (0 if name in HOST and not options else 1 if name in ONE else 2)
    of_one, _ = computed(make_engine(), name, options, CALLS[name])
    same(found, of_one)
    expected = getattr(metrics, name)(*CALLS[name], **options, engine="numpy")
    if name in NEUTRALIZED:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    else:
        same(found, expected)


@pytest.mark.parametrize("gpu", [0, 1])
@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_arrays_on_any_gpu_are_taken_by_every_function(
    make_engine, many_blocks, name, options, gpu
):
    engine = make_engine(devices=2)
    found, used = computed(
        engine, name, options, [foreign(engine, gpu, one) for one in CALLS[name]]
    )
    if name in STAY:
        assert used <= {gpu}
    same(found, computed(make_engine(), name, options, CALLS[name])[0])
