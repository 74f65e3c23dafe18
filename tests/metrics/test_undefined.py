"""What metrics refuse, and what they say of scores that do not vary."""

import numpy as np
import pandas as pd
import pytest
from made_eras import make_era

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.summary import summaries


@pytest.mark.parametrize("share", [0.3, 0.35])
def test_contributions_may_leave_out_a_fifth_of_the_ids_twice(engine, share):
    # numerai-tools filters the inputs of its contribution twice
    era = make_era(200, 3)
    kept = era.targets.iloc[int(200 * share) :]
    scores = metrics.correlation_contribution(era.predictions, era.meta_model, kept, engine=engine)
    alone = metrics.correlation_contribution(
        era.predictions.loc[kept.index], era.meta_model.loc[kept.index], kept, engine=engine
    )
    np.testing.assert_array_equal(scores, alone)


@pytest.mark.parametrize("share", [0.37, 0.42, 0.48, 0.5])
@pytest.mark.parametrize("lacking", ["targets", "meta model", "predictions"])
def test_contributions_over_fewer_ids_are_refused(engine, share, lacking):
    era = make_era(200, 3)
    data = {"predictions": era.predictions, "meta model": era.meta_model, "targets": era.targets}
    data[lacking] = data[lacking].iloc[int(200 * share) :]
    with pytest.raises(RoundError, match=r"of 200 ids are common .*\[id-other-round\]"):
        metrics.correlation_contribution(*data.values(), engine=engine)


@pytest.mark.parametrize("value", [0.0, 0.5, 0.1])  # the mean of 60 times 0.1 is rounded
@pytest.mark.parametrize(
    "score", [metrics.spearman_correlation, metrics.tie_broken_rank_correlation]
)
def test_a_constant_target_has_no_correlation(engine, score, value):
    era = make_era(60, 3)
    targets = pd.Series(value, era.targets.index)
    for predictions in (era.predictions, era.predictions["user 0"]):
        with pytest.raises(RoundError, match=r"60 scored targets are .*\[target-constant\]"):
            score(targets, predictions, engine=engine)


@pytest.mark.parametrize(
    "scores",
    [
        [0.3, 0.1, 0.1, 0.1, 0.1],  # those after the first do not vary
        [0.1, 0.1, 0.1, 0.1, 0.3],  # nor those before the last
        [0.3, np.nan, 0.1, 0.1, 0.1, 0.1],
        [0.3, 0.1],
    ],
    ids=str,
)
def test_scores_whose_head_or_tail_is_constant_have_no_autocorrelation(scores):
    found = summaries(np.array(scores)[:, None])[0]
    assert np.isnan([found.autocorrelation, found.smart_sharpe]).all()
    assert found.sharpe == pytest.approx(np.nanmean(scores) / np.nanstd(scores))
