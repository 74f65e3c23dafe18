"""Bad frames and arrays, and what they get: a code, the place, the numbers, and never a score.

Long, because it walks the table of bad inputs row by row.
"""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mmc_gpu
from mmc_gpu.errors import CODES, RoundError

pl = pytest.importorskip("polars", reason="the extra `test` has polars")

IDS = [f"n{number:02d}" for number in range(40)]
STAKES = {"ann": 2.0, "bob": 1.0}


def frame(**columns):
    """Return three valid submissions over 40 ids, with columns added or replaced."""
    rng = np.random.default_rng(1)
    values = {user: rng.random(len(IDS)) for user in ("ann", "bob", "cyd")}
    return pd.DataFrame(values | columns, index=pd.Index(IDS, name="id"))


TARGETS = pd.Series(np.arange(40) % 5 / 4, index=IDS)


def with_value(value, row=3, dtype=None):
    values = np.random.default_rng(2).random(len(IDS)).astype(dtype or np.float64)
    values[row] = value
    return values


def score(predictions, stakes=STAKES, targets=TARGETS, **options):
    return mmc_gpu.score_round(predictions, stakes, targets, engine="numpy", **options)


def refused(code, *words, predictions=None, stakes=STAKES, targets=TARGETS, **options):
    """Assert the code, and that the message names the place and the remedy."""
    with pytest.raises(RoundError) as caught:
        score(frame() if predictions is None else predictions, stakes, targets, **options)
    assert caught.value.code == code
    message = str(caught.value)
    for word in (*words, CODES[code].remedy):
        assert word in message
    return message


def quarantined(user, code, predictions, stakes=STAKES, **options):
    """Assert that the user alone is left out, and the others score as if it had never submitted."""
    scores = score(predictions, stakes, on_error="quarantine", **options)
    assert [(fault.user, fault.code) for fault in scores.quarantined] == [(user, code)]
    others = {name: stake for name, stake in stakes.items() if name != user}
    without = score(predictions.drop(columns=user), others, **options)
    assert scores.digest == without.digest


EPS, EPS32 = (float(np.finfo(dtype).eps) for dtype in (np.float64, np.float32))


def taken(values, **others):
    """Assert that bob's values, a little outside, are blended as they are, as in Arrow and arrays.

    The ranked blend is the proof: it takes any values, and bob's own ranks are the same.
    """
    predictions = frame(bob=values, **others)
    alone = {"bob": 1.0}
    scores = score(predictions, alone)
    assert [note for note in scores.notes if "rounding" in note] == [
        "1 submission leaves [0, 1] by rounding (at most 4 eps), and were taken as they are: 'bob'"
    ]
    assert not scores.quarantined
    ranked = score(predictions, alone, blend="ranked")  # of one staker: the same meta model
    assert scores.table.drop(columns="mmc_se").equals(ranked.table.drop(columns="mmc_se"))
    table = pa.Table.from_pandas(predictions.reset_index(), preserve_index=False)
    assert score(table, alone).digest == scores.digest


class TestRow1Missing:
    def test_nan_is_an_error_with_count_and_ids(self):
        refused(
            "prediction-missing",
            "'cyd'",
            "1 of 40",
            "'n03'",
            predictions=frame(cyd=with_value(np.nan)),
        )

    def test_null_is_the_same(self):
        table = pa.table(
            {"id": IDS, "ann": frame()["ann"], "cyd": [None, *[0.1 * n for n in range(39)]]}
        )
        refused("prediction-missing", "'cyd'", "'n00'", predictions=table, stakes={"ann": 1.0})

    def test_filling_takes_the_lower_median_of_the_present_ones(self):
        values = with_value(np.nan)
        filled = values.copy()
        filled[3] = np.sort(values[~np.isnan(values)])[19]
        scores = score(frame(cyd=values), missing="fill")
        assert scores.filled.tolist() == [0, 0, 1]
        assert scores.digest == score(frame(cyd=filled)).digest

    def test_absent_ids_fill_like_nulls(self):
        nulls = frame()
        nulls.iloc[[5, 7]] = np.nan
        absent = nulls.drop(index=["n05", "n07"])
        assert score(absent, missing="fill").digest == score(nulls, missing="fill").digest

    def test_absent_and_extra_ids_together_fill_right(self):
        nulls = frame()
        nulls.iloc[[5, 7]] = np.nan
        other = nulls.drop(index=["n05", "n07"])
        other.loc["x1"] = 99.0
        scores = score(other, missing="fill")
        assert scores.digest == score(nulls, missing="fill").digest
        assert "1 id without a target was ignored" in scores.notes

    def test_more_than_a_fifth_missing_is_not_filled(self):
        values = frame()["cyd"].to_numpy().copy()
        values[:9] = np.nan
        refused("id-other-round", "9 of 40", predictions=frame(cyd=values), missing="fill")

    def test_quarantine_leaves_out_that_user_alone(self):
        quarantined("bob", "prediction-missing", frame(bob=with_value(np.nan)))

    def test_filling_leaves_the_input_as_it_was(self):
        predictions = frame(cyd=with_value(np.nan))
        before = predictions.copy()
        score(predictions, missing="fill")
        pd.testing.assert_frame_equal(predictions, before)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_row_2_infinite_predictions_are_an_error_of_their_own(value):
    refused("prediction-infinite", "'cyd'", "'n03'", predictions=frame(cyd=with_value(value)))
    quarantined("cyd", "prediction-infinite", frame(cyd=with_value(value)))


class TestRow3Range:
    @pytest.mark.parametrize("value", [1 + 2e-15, -1e-15, 1.0000001, 1e9])
    def test_a_staker_outside_0_to_1_is_refused_with_exact_bounds(self, value):
        refused("prediction-range", "'bob'", str(value), predictions=frame(bob=with_value(value)))
        quarantined("bob", "prediction-range", frame(bob=with_value(value)))

    @pytest.mark.parametrize("value", [1 + 4 * EPS, 1 + EPS, -4 * EPS, -5e-324])
    def test_what_was_rounded_is_taken_as_it_is_and_noted(self, value):
        taken(with_value(value))

    @pytest.mark.parametrize("value", [1 + 4 * EPS32, 1 + EPS32, -4 * EPS32, -1e-45])
    def test_float32_is_rounded_further_alone_and_beside_float64(self, value):
        taken(with_value(value, dtype=np.float32))
        rounded = {user: with_value(0.5, dtype=np.float32) for user in ("ann", "cyd")}
        taken(with_value(value, dtype=np.float32), **rounded)

    @pytest.mark.parametrize("value", [1 + 5 * EPS32, -5 * EPS32])
    def test_float32_further_out_is_refused(self, value):
        refused("prediction-range", "'bob'", predictions=frame(bob=with_value(value, dtype="f4")))

    def test_unstaked_values_outside_are_scored_and_noted(self):
        scores = score(frame(cyd=with_value(1e9)))
        assert any("'cyd'" in note for note in scores.notes)
        assert np.isfinite(scores.mmc).all()

    def test_the_ranked_blend_takes_any_finite_value(self):
        assert np.isfinite(score(frame(bob=with_value(-7.0)), blend="ranked").mmc).all()

    def test_the_bounds_themselves_are_inside(self):
        values = with_value(0.0)
        values[5] = 1.0
        assert score(frame(bob=values)).notes == ()


def test_row_4_a_constant_column_is_refused_not_scored_0():
    refused("prediction-constant", "'cyd'", "0.5", predictions=frame(cyd=np.full(40, 0.5)))
    quarantined("cyd", "prediction-constant", frame(cyd=np.full(40, 0.5)))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(40) % 2 == 0,
        np.arange(40) % 2,
        (np.arange(40) % 3 / 2).astype(np.float16),
        0.5 + 1e-12 * (np.arange(40) % 7),
        np.arange(40).astype(np.uint8) % 2,
        pd.array([0.1, 0.9] * 20, "Float64"),
        pd.array([True, False] * 20, "boolean"),
    ],
)
def test_row_5_few_distinct_values_are_accepted(values):
    assert np.isfinite(score(frame(cyd=values)).mmc).all()


@pytest.mark.parametrize("text", ["0,5", "1.234,5", "0x1A", "1_000", "half"])
def test_row_6_numbers_as_text_are_named(text):
    column = pd.Series(["0.5"] * 39 + [text], dtype=object, index=IDS)
    refused("value-text", "'cyd'", repr(text), predictions=frame(cyd=column))
    quarantined("cyd", "value-text", frame(cyd=column))


@pytest.mark.parametrize(
    "column",
    [
        pd.date_range("2026-01-01", periods=40),
        pd.Categorical(["a", "b"] * 20),
        np.arange(40) * 1j,
        pd.Series([Decimal("0.5")] * 40, index=IDS, dtype=object),
        pd.Series([[1.0]] * 40, index=IDS, dtype=object),
        pd.Series([2**53 + 1] * 40, index=IDS),
    ],
)
def test_row_8_columns_that_hold_no_numbers_are_refused(column):
    refused("column-type", "'cyd'", predictions=frame(cyd=column))
    quarantined("cyd", "column-type", frame(cyd=column))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([datetime.date(2026, 1, 1)] * 40),
        pa.array(["a", "b"] * 20).dictionary_encode(),
        pa.array([[0.1]] * 40),
        pa.array([{"a": 1.0}] * 40),
        pa.array([Decimal("0.5")] * 40),
    ],
)
def test_row_8_holds_for_arrow_types(column):
    table = pa.table({"id": IDS, "ann": frame()["ann"].to_numpy(), "cyd": column})
    refused("column-type", "'cyd'", predictions=table, stakes={"ann": 1.0})


class TestRows9To15Ids:
    def test_duplicate_ids_are_named(self):
        doubled = pd.concat([frame(), frame().iloc[[4]]])
        refused("id-duplicate", "1 id", "'n04'", predictions=doubled)
        refused("id-duplicate", "'n04'", targets=pd.concat([TARGETS, TARGETS.iloc[[4]]]))

    def test_missing_ids_are_counted(self):
        refused("id-missing", "2 of 40", "'n00', 'n01'", predictions=frame().iloc[2:])

    def test_more_than_a_fifth_missing_asks_about_the_round(self):
        refused("id-other-round", "20 of 40", predictions=frame().iloc[20:])

    def test_extra_ids_are_ignored_and_counted(self):
        extra = frame()
        extra.loc["x1"] = np.nan
        scores = score(extra)
        assert "1 id without a target was ignored" in scores.notes
        assert scores.digest == score(frame()).digest

    def test_any_number_of_ids_without_a_target_are_ignored_and_counted(self):
        scores = score(frame(), targets=TARGETS.iloc[:8])
        assert "32 ids without a target were ignored" in scores.notes
        assert scores.digest == score(frame().iloc[:8], targets=TARGETS.iloc[:8]).digest
        table = pa.Table.from_pandas(frame().reset_index())
        assert score(table, targets=TARGETS.iloc[:8]).digest == scores.digest

    def test_the_ids_that_are_absent_count_whatever_else_is_there(self):
        more = pd.concat([frame(), frame().rename(index="more {}".format)])
        refused("id-missing", "2 of 40", predictions=more.iloc[2:])
        refused("id-other-round", "9 of 40", predictions=more.iloc[9:])

    def test_a_null_id_is_refused(self):
        index = [*IDS[:-1], None]
        refused("id-null", "row 40", predictions=frame().set_axis(index))
        refused("id-null", "row 40", targets=TARGETS.set_axis([*IDS[:-1], np.nan]))

    @pytest.mark.parametrize("wrong", ["N05", "n05 ", "n\u200b05", "n 05", "\uff4e05"])
    def test_ids_that_differ_only_invisibly_say_so(self, wrong):
        message = refused(
            "id-mismatch" if wrong in ("N05", "n 05", "\uff4e05") else "id-characters",
            predictions=frame().rename(index={"n05": wrong}),
        )
        assert ascii(wrong) in message

    @pytest.mark.parametrize("wrong", ["a\tb", "a\u200b", " a", "a\u00a0b", "\x1b[31m"])
    def test_invisible_characters_in_the_rounds_own_ids_are_refused(self, wrong):
        refused("id-characters", ascii(wrong)[1:-1], targets=TARGETS.rename(index={"n05": wrong}))

    @pytest.mark.parametrize("odd", ["NA", "null", "None", "00123", "1e5", "nan", "AAPL US"])
    def test_odd_ids_stay_text(self, odd):
        names = {"n05": odd}
        scores = score(frame().rename(index=names), targets=TARGETS.rename(index=names))
        assert np.isfinite(scores.mmc).all()

    @pytest.mark.parametrize("first", [0, 10**200])
    def test_integer_ids_are_decimal_text(self, first):
        numbers = list(range(first, first + 40))
        as_text = frame().set_axis([str(number) for number in numbers])
        scores = score(frame().set_axis(numbers), targets=TARGETS.set_axis(numbers))
        assert scores.digest == score(as_text, targets=TARGETS.set_axis(numbers)).digest

    def test_float_ids_are_refused(self):
        refused("id-type", "float", predictions=frame().set_axis(np.arange(40) + 0.5))

    def test_ids_in_the_index_and_in_a_column_are_ambiguous(self):
        refused("id-ambiguous", "'id'", predictions=frame().rename_axis(None).assign(id=IDS))

    def test_an_id_column_is_taken(self):
        assert score(frame().reset_index()).digest == score(frame()).digest
        upper = frame().reset_index().rename(columns={"id": "ID"})
        assert score(upper).digest == score(frame()).digest

    def test_an_arrow_frame_needs_an_id_column(self):
        refused("column-missing", "'id'", predictions=pl.DataFrame(frame().to_dict("list")))


def test_a_lazy_frame_must_be_collected():
    lazy = pl.DataFrame(frame().reset_index()).lazy()
    for given in ({"predictions": lazy}, {"stakes": lazy}, {"targets": lazy}):
        with pytest.raises(TypeError, match=r"give its \.collect\(\)"):
            score(**({"predictions": frame()} | given))


def test_a_polars_series_is_an_array_without_ids():
    values = frame().to_numpy()
    arrays = np.array([2.0, 1.0, 0.0]), TARGETS.to_numpy()
    given = score(values, *map(pl.Series, arrays), ids=IDS)
    assert given.digest == score(values, *arrays, ids=IDS).digest


def test_row_16_duplicate_headers_are_refused():
    doubled = frame()
    doubled.columns = ["ann", "bob", "bob"]
    refused("header-duplicate", "'bob'", predictions=doubled)


class TestRows23And24Users:
    @pytest.mark.parametrize(
        "name", ["", "a" * 129, "a\x1b[31m", "a\u202eb", "a\nb", "e\u0301", " ann", "a\u200b"]
    )
    def test_bad_names_are_refused_and_never_shown_raw(self, name):
        predictions = frame().rename(columns={"cyd": name})
        message = refused("user-name", predictions=predictions)
        assert message.isprintable()
        scores = score(predictions, on_error="quarantine")
        assert scores.users == ["ann", "bob"]
        assert scores.quarantined[0].user.isprintable()

    @pytest.mark.parametrize("name", ["=cmd()", "</script>", "-1", "@x", "猫", "a b", "a" * 128])
    def test_odd_but_printable_names_are_taken(self, name):
        assert name in score(frame().rename(columns={"cyd": name})).users

    def test_two_submissions_for_one_user_are_refused(self):
        values = frame().to_numpy()
        refused(
            "user-duplicate",
            "'a'",
            predictions=values,
            ids=IDS,
            users=["a", "b", "a"],
            stakes={"b": 1.0},
        )


class TestRows25To28Stakes:
    @pytest.mark.parametrize("stake", [-1.0, np.nan, np.inf, 1e16, 1e-19, "inf", None, True])
    def test_a_bad_stake_is_refused_for_that_user(self, stake):
        refused("stake-invalid", "'cyd'", stakes=STAKES | {"cyd": stake})
        quarantined("cyd", "stake-invalid", frame(), STAKES | {"cyd": stake})

    @pytest.mark.parametrize("stake", [1e-18, 1e15, "1.5", np.float32(2), 3])
    def test_stakes_within_bounds_are_taken(self, stake):
        assert score(frame(), STAKES | {"cyd": stake}).stakes.all()

    def test_a_stake_without_a_submission_is_listed_and_not_in_the_pool(self):
        scores = score(frame(), STAKES | {"zoe": 1e6})
        assert any("'zoe'" in note for note in scores.notes)
        assert scores.digest == score(frame()).digest

    def test_a_submission_without_a_stake_is_scored_outside_the_pool(self):
        scores = score(frame())
        assert scores.stakes.tolist() == [2.0, 1.0, 0.0]
        assert scores.counts.shape == (20, 2)

    @pytest.mark.parametrize("stakes", [{}, {"ann": 0.0}, {"zoe": 1.0}])
    def test_no_stake_at_all_is_an_error(self, stakes):
        refused("stake-none", stakes=stakes)

    def test_users_of_an_array_are_staked_by_number(self):
        rng = np.random.default_rng(0)
        matrix, stakes, target = rng.random((40, 12)), np.arange(12.0), rng.random(40)
        expected = mmc_gpu.score_round(matrix, stakes, target, engine="numpy")
        for given in (
            pd.Series(stakes),
            dict(enumerate(stakes)),
            {str(user): stake for user, stake in enumerate(stakes)},
            pd.DataFrame({"user": range(12), "stake": stakes}),
        ):
            scores = mmc_gpu.score_round(matrix, given, target, engine="numpy")
            assert scores.digest == expected.digest
            assert not scores.notes

    def test_two_stakes_for_one_user_are_refused(self):
        stakes = pd.DataFrame({"user": ["ann", "bob", "bob"], "stake": [1.0, 2.0, 2.0]})
        refused("user-duplicate", "'bob'", stakes=stakes)

    def test_a_stakes_frame_needs_its_columns(self):
        refused("column-missing", "'stake'", stakes=pd.DataFrame({"user": ["ann"], "nmr": [1.0]}))


class TestRow29Targets:
    @pytest.mark.parametrize(
        ("code", "value"),
        [("target-missing", np.nan), ("target-infinite", np.inf), ("target-infinite", -np.inf)],
    )
    def test_missing_and_infinite_targets_are_refused(self, code, value):
        targets = TARGETS.copy()
        targets.iloc[7] = value
        refused(code, "1 of 40", "'n07'", targets=targets)

    def test_a_constant_target_is_refused(self):
        refused("target-constant", "0.5", targets=pd.Series(0.5, index=IDS))

    def test_the_faulty_one_of_several_is_named(self):
        refused("target-constant", "'late'", targets=pd.DataFrame({"t": TARGETS, "late": 1.0}))

    def test_text_is_refused(self):
        refused("value-text", "'0,5'", targets=pd.Series(["0,5"] * 40, index=IDS, dtype=object))


class TestRow30Sizes:
    def test_fewer_than_3_stocks_are_refused(self):
        refused("round-size", "2 stocks", predictions=frame().iloc[:2], targets=TARGETS.iloc[:2])

    def test_arrays_must_fit(self):
        values = frame().to_numpy()
        stakes = np.ones(3)
        refused("array-shape", "39", predictions=values, stakes=stakes, targets=np.arange(39.0))
        refused(
            "array-shape",
            "2 stakes",
            predictions=values,
            stakes=stakes[:2],
            targets=np.arange(40.0),
        )
        refused(
            "array-shape", "2-D", predictions=values[:, 0], stakes=stakes, targets=np.arange(40.0)
        )
        refused("array-shape", "39", predictions=values, stakes=stakes, ids=IDS[1:])
        refused("array-shape", "ids", predictions=values, stakes=stakes)

    def test_a_frame_without_rows_or_users_is_refused(self):
        refused("file-empty", predictions=frame().iloc[:0])
        refused("round-size", "no submission", predictions=frame()[[]])

    def test_everybody_quarantined_is_an_error(self):
        nothing = frame() * np.nan
        refused("round-empty", "all 3", predictions=nothing, on_error="quarantine")


@pytest.mark.parametrize(
    "options",
    [
        {"draws": 0},
        {"draws": True},
        {"sample": 0.0},
        {"sample": 1.5},
        {"sample": float("nan")},
        {"seed": -1},
        {"seed": 2**64},
        {"ties": "last"},
        {"blend": "mixed"},
        {"scale": 0.0},
        {"scale": float("inf")},
        {"missing": "drop"},
        {"on_error": "ignore"},
    ],
)
def test_options_out_of_range_are_value_errors_that_name_them(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        score(frame(), **options)
