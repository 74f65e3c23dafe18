"""The meta model in hand, and what each staker is worth to it."""

import numpy as np
import pandas as pd
import pytest
from made_rounds import make_round, make_touchy_round

import mmc_gpu
from mmc_gpu.files.results.rounds import read_result, write_results
from mmc_gpu.rounds.round import take_round


def without(made, staker, target, ranked=False):
    """Return the correlation of a new blend, in extended precision, without a staker."""
    stakes = made.stakes.astype(np.longdouble)
    if staker is not None:
        stakes[staker] = 0
    rows = made.predictions.astype(np.longdouble)
    if ranked:
        rows = pd.DataFrame(made.predictions).T.rank(method="first").to_numpy().T
    blend = stakes @ rows
    blend, t = blend - blend.mean(), target - target.mean()
    return float(blend @ t / np.sqrt((blend @ blend) * (t @ t)))


ROUNDS = {
    "many": make_round(40, 200, 3),
    "ties": make_touchy_round(40, 200, 30),
    "two": make_round(3, 50, 1, staked=2),
}


@pytest.mark.parametrize("name", ROUNDS)
@pytest.mark.parametrize("blend", ["raw", "ranked"])
def test_it_is_a_new_blend_without_the_staker(engine, name, blend):
    made = ROUNDS[name]
    table = mmc_gpu.leave_one_out(*made.frames(), blend=blend, engine=engine)
    stakers = int((made.stakes > 0).sum())
    assert table["user"].tolist() == made.users[:stakers]
    for row, staker in enumerate(range(stakers)):
        for column, left_out in (("corr_with", None), ("corr_without", staker)):
            expected = without(made, left_out, made.target, blend == "ranked")
            assert table[column][row] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(table["worth"], table["corr_with"] - table["corr_without"])


@pytest.mark.parametrize("whale", [0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-12])
def test_a_whale_is_left_out_as_exactly(engine, whale):
    made = make_round(20, 300, 7, staked=15)
    stakes = made.stakes.copy()
    stakes[4] = stakes.sum() * whale / (1 - whale)
    made = type(made)(made.predictions.copy(), stakes, made.target.copy())
    table = mmc_gpu.leave_one_out(*made.frames(), engine=engine)
    assert table["corr_without"][4] == pytest.approx(without(made, 4, made.target), abs=1e-12)
    assert table["corr_without"][5] == pytest.approx(without(made, 5, made.target), abs=1e-12)


@pytest.mark.parametrize("unit", [1e-300, 1e300, 1.0])
def test_the_unit_and_the_offset_of_a_target_do_not_matter(unit):
    predictions, stakes, target = ROUNDS["many"].frames()
    plain = mmc_gpu.leave_one_out(predictions, stakes, target)
    other = mmc_gpu.leave_one_out(predictions, stakes, (target - 0.3) * unit)
    np.testing.assert_allclose(other["corr_without"], plain["corr_without"], rtol=0, atol=1e-12)


def test_a_lone_staker_has_no_worth():
    table = mmc_gpu.leave_one_out(*make_round(5, 40, 2, staked=1).frames())
    assert table["corr_without"].isna().all()
    assert table["worth"].isna().all()
    assert table["corr_with"].notna().all()


def test_every_engine_has_the_same_bits():
    made = make_round(40, 300, 4)
    tables = [mmc_gpu.leave_one_out(*made.frames(), engine=name) for name in ("numpy", "cpu")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_columns_of_scores_have_it_and_say_who_has_none(engine):
    made = make_round(20, 60, 5)
    scores = mmc_gpu.score_round(*made.frames(), scores=["leave_one_out"], engine=engine)
    table = scores.to_pandas().set_index("user")
    alone = mmc_gpu.leave_one_out(*made.frames(), engine=engine).set_index("user")
    for column in ("corr_without", "worth"):
        np.testing.assert_array_equal(table.loc[alone.index, column], alone[column])
        assert table[column].isna().sum() == (made.stakes == 0).sum()
    assert scores.further_faults["code"].tolist() == ["stake-none"]
    both = mmc_gpu.score_round(*made.frames(), scores=["cwmm", "leave_one_out"], engine=engine)
    assert list(both.table)[-3:] == ["cwmm", "corr_without", "worth"]


def test_the_meta_model_is_the_blend_by_stake(engine):
    made = make_round(30, 80, 6)
    found = mmc_gpu.meta_model(*made.frames()[:2], engine=engine)
    assert found["id"].tolist() == made.ids
    share = made.stakes / made.stakes.sum()
    np.testing.assert_allclose(found["blend"], share @ made.predictions, rtol=1e-14)
    np.testing.assert_array_equal(found["rank"], found["blend"].rank(method="first"))
    scores = mmc_gpu.score_round(*made.frames(), engine=engine)
    pd.testing.assert_frame_equal(scores.meta_model, found, check_exact=True)
    shared = mmc_gpu.score_round(*made.frames(), ties="average", engine=engine).meta_model
    np.testing.assert_array_equal(shared["rank"], found["blend"].rank())


def test_the_meta_model_comes_as_the_predictions_do():
    made = make_round(10, 40, 6)
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"id": made.ids, **dict(zip(made.users, made.predictions, strict=True))}
    )
    stakes = dict(zip(made.users, made.stakes, strict=True))
    assert isinstance(mmc_gpu.meta_model(frame, stakes), polars.DataFrame)
    arrays = mmc_gpu.meta_model(made.predictions.T, made.stakes)
    np.testing.assert_array_equal(arrays["blend"], mmc_gpu.meta_model(frame, stakes)["blend"])
    given = mmc_gpu.meta_model(take_round(*made.frames()))
    np.testing.assert_array_equal(given["blend"], arrays["blend"])
    with pytest.raises(ValueError, match="stakes given beside a Round"):
        mmc_gpu.meta_model(take_round(*made.frames()), stakes)


def test_a_result_that_is_read_back_has_no_meta_model(tmp_path):
    scores = mmc_gpu.score_round(*make_round(10, 40).frames())
    write_results(tmp_path / "out", scores, [], {"missing": "error", "on_error": "fail"})
    read, _ = read_result(tmp_path / "out")
    assert read.meta_models is None
    with pytest.raises(ValueError, match="read back has no meta model"):
        _ = mmc_gpu.RoundScores.of(read).meta_model


def test_groups_of_identical_submissions_are_those_of_the_page():
    made = make_round(12, 60, 1, staked=12)
    predictions = made.predictions.copy()
    predictions[7] = predictions[3]
    predictions[[9, 10]] = predictions[1]
    scores = mmc_gpu.score_round(*type(made)(predictions, made.stakes, made.target).frames())
    groups = scores.identical()
    users = made.users
    assert sorted(map(sorted, groups)) == [[users[1], users[9], users[10]], [users[3], users[7]]]
    best = [scores.table.set_index("user").loc[group[0], "rank"] for group in groups]
    assert best == sorted(best)
    assert mmc_gpu.score_round(*make_round(4, 60, 2).frames()).identical() == []
