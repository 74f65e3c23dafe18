"""Data of wrong types: an error with a code, a place and a remedy, never a raw traceback."""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import CODES, RoundError
from mmc_gpu.files.rounds.tournaments import Universe

pl = pytest.importorskip("polars", reason="the extra `test` has polars")

N = 12
IDS = [f"n{n:02}" for n in range(N)]
VALUES, TARGET = np.random.default_rng(0).random((N, 2)), np.random.default_rng(1).random(N)
FRAME, TARGETS = pd.DataFrame(VALUES, IDS, ["a", "b"]), pd.Series(TARGET, IDS)
STAKES = {"a": 1.0, "b": 2.0}
LAZY = pl.LazyFrame({"id": IDS, "a": TARGET})


def score(predictions=FRAME, stakes=STAKES, targets=TARGETS, **options):
    return mmc_gpu.score_round(predictions, stakes, targets, engine="numpy", **options)


def refused(code, words, function, *arguments, **options):
    with pytest.raises(RoundError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert CODES[code].remedy in str(caught.value)


NO_TABLE = {
    "nothing": (None, "nothing"),
    "path": (Path("round"), "a value of type PosixPath"),
    "text": ("round", "a value of type str"),
    "dict": ({"a": TARGET}, "a value of type dict"),
    "set": ({1, 2}, "a value of type set"),
    "number": (1.5, "a value of type float"),
    "generator": ((n for n in range(3)), "a value of type generator"),
    "object": (object(), "a value of type object"),
}


@pytest.mark.parametrize("given", NO_TABLE)
def test_what_is_no_table_and_no_array_is_named(given):
    data, words = NO_TABLE[given]
    refused("data-type", f"predictions: {words}", score, data)
    refused("data-type", f"targets: {words}", score, targets=data)
    if given not in ("path", "text"):  # which name a file
        refused("data-type", f"frame: {words}", mmc_gpu.evaluate, data)
    refused("data-type", f"predictions: {words}", metrics.numerai_corr, data, TARGETS)
    refused("data-type", f"targets: {words}", metrics.numerai_corr, FRAME, data)
    if given != "dict":
        refused("data-type", f"stakes: {words}", score, stakes=data)
        refused("data-type", f"stakes: {words}", metrics.stake_weight, FRAME, data)


@pytest.mark.parametrize("series", [TARGETS, pl.Series(TARGET)], ids=["pandas", "polars"])
def test_a_series_of_predictions_is_asked_for_as_a_frame(series):
    refused("data-type", "predictions: a value of type Series", score, series)
    assert "to_frame()" in CODES["data-type"].remedy


def test_stakes_and_targets_that_are_forgotten_are_named():
    refused("data-type", "stakes: nothing", mmc_gpu.score_round, FRAME)
    refused("data-type", "targets: nothing", mmc_gpu.score_round, FRAME, STAKES)


def test_a_lazy_frame_is_to_be_collected_wherever_it_is_given():
    for call in (
        lambda: score(LAZY),
        lambda: score(stakes=LAZY),
        lambda: score(targets=LAZY),
        lambda: mmc_gpu.evaluate(LAZY, engine="numpy"),
        lambda: metrics.numerai_corr(LAZY, TARGETS),
        lambda: metrics.stake_weight(FRAME, LAZY),
    ):
        with pytest.raises(TypeError, match=r"LazyFrame.*collect\(\)"):
            call()


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="this polars has no Int128")
def test_a_type_that_arrow_does_not_have_is_refused():
    wide = pl.DataFrame({"id": IDS, "a": TARGET}).with_columns(pl.lit(1, pl.Int128).alias("b"))
    refused("column-type", "i128", score, wide)
    refused("column-type", "i128", score, stakes=wide)


def test_a_long_table_is_to_be_pivoted():
    long = pd.DataFrame({"id": IDS * 2, "user": ["a"] * N + ["b"] * N, "prediction": [*TARGET] * 2})
    renamed = long.rename(columns={"user": "X", "prediction": "Y"})
    for table in (long, renamed, long.set_index("id"), pl.from_pandas(long)):
        refused("id-duplicate", "frame.pivot(index='id'", score, table)


def test_lists_of_different_lengths_are_refused():
    refused("array-shape", "predictions", score, [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    "names", [[1, "1"], [1.5, "1.5"], [True, "True"]], ids=["number", "float", "bool"]
)
def test_two_targets_of_one_name_as_text_are_refused(names):
    targets = pd.DataFrame(VALUES, IDS, pd.Index(names, dtype=object))
    refused("header-duplicate", "targets: more than one column", score, targets=targets)


def test_two_models_of_one_name_as_text_are_refused():
    frame = pd.DataFrame({"era": 1, "target": TARGET, 1: TARGET, "1": TARGET})
    refused("header-duplicate", "more than one column '1'", mmc_gpu.evaluate, frame)


@pytest.mark.parametrize(
    "stake",
    [10**400, 10**5000, -(10**400), Decimal("sNaN"), [1], object()],
    ids=["400", "5000", "negative", "nan", "list", "object"],
)
def test_a_stake_of_any_type_is_the_fault_of_its_user(stake):
    refused("stake-invalid", "'a'", score, stakes=STAKES | {"a": stake})
    scores = score(stakes=STAKES | {"a": stake}, on_error="quarantine")
    assert [(fault.user, fault.code) for fault in scores.quarantined] == [("a", "stake-invalid")]
    if not isinstance(stake, Decimal):  # a missing stake is none in metrics
        refused("stake-invalid", "'a'", metrics.stake_weight, FRAME, STAKES | {"a": stake})


@pytest.mark.parametrize("given", [None, 5, object(), ["cpu"], FRAME])
def test_what_is_no_engine_is_refused_with_the_names_of_engines(given):
    for call in (load_engine, lambda engine: metrics.rank(TARGETS, engine=engine)):
        with pytest.raises(ValueError, match=r"no engine .*auto, numpy, cpu, gpu"):
            call(given)
    with pytest.raises(ValueError, match="no engine"):
        mmc_gpu.score_round(FRAME, STAKES, TARGETS, engine=given)


def test_half_of_a_surrogate_pair_in_a_name_is_refused():
    odd = "\ud800"
    index = pd.Index(["\ud800" + id_ for id_ in IDS], dtype=object)
    targets = pd.DataFrame(TARGET[:, None], IDS, pd.Index([odd], dtype=object))
    refused("column-name", ascii(odd), score, targets=targets)
    refused(
        "user-name", ascii(odd), score, FRAME.set_axis(pd.Index([odd, "b"], dtype=object), axis=1)
    )
    refused("id-characters", "predictions", score, FRAME.set_axis(index))
    refused("user-name", "user", score, VALUES, [1.0, 2.0], TARGET, users=[odd, "b"])
    names = pd.Index(["era", "target", odd], dtype=object)
    frame = pd.DataFrame(np.column_stack([np.ones(N), TARGET, TARGET]), columns=names)
    refused("column-name", ascii(odd), mmc_gpu.evaluate, frame)
    frame = pd.DataFrame({"era": 1, "target": TARGET, "a": TARGET}, index)  # ids that nothing joins
    found = [mmc_gpu.evaluate(one).eras for one in (frame, frame.reset_index(drop=True))]
    pd.testing.assert_frame_equal(*found)


@pytest.mark.parametrize(
    "user",
    [["a"], {"a": 1}, np.array(["a"]), 10**5000, (1, 2), 1.5, None],
    ids=["list", "dict", "array", "5000", "tuple", "float", "none"],
)
def test_what_is_no_user_is_refused(user):
    refused("user-name", "user", score, VALUES, [1.0, 2.0], TARGET, users=[user, "b"])
    scores = score(VALUES, {"b": 2.0}, TARGET, users=[user, "b"], ids=IDS, on_error="quarantine")
    assert [fault.code for fault in scores.quarantined] == ["user-name"]
    stakes = pd.DataFrame({"user": pd.Series([user, "b"], dtype=object), "stake": 1.0})
    refused("user-name", "user", score, stakes=stakes)


def test_what_is_no_user_is_refused_in_metrics():
    stakes = pd.DataFrame({"user": [["a"], "b"], "stake": 1.0})
    refused("user-name", "of type list", metrics.stake_weight, FRAME, stakes)


@pytest.mark.parametrize(
    "odd", [1, b"a", ("x",), ["x"], {"x": 1}, datetime.date(2026, 1, 1)], ids=repr
)
def test_ids_without_an_order_are_refused(odd):
    frame = pd.DataFrame({"era": 1, "target": TARGET, "a": TARGET})
    frame["id"] = pd.Series([*IDS[1:], odd], dtype=object)
    refused("id-type", "era 1", mmc_gpu.evaluate, frame)
    refused("id-type", "era 1", mmc_gpu.evaluate, frame.set_index("id"))


def test_an_era_of_thousands_of_digits_is_refused():
    for era in ("9" * 5000, "era" + "1" * 200, 10**5000, 10**128):
        frame = pd.DataFrame({"target": TARGET, "a": TARGET})
        frame["era"] = pd.Series([era] * N, dtype=object)
        refused("era-type", "frame", mmc_gpu.evaluate, frame)
    frame["era"] = "1" * 128
    assert mmc_gpu.evaluate(frame, engine="numpy").labels == ["1" * 128]
    frame["era"] = pd.Series([[1]] * N)
    refused("era-type", "unhashable", mmc_gpu.evaluate, frame)


def test_ids_of_thousands_of_digits_are_refused():
    index = pd.Index([10**5000 + n for n in range(N)], dtype=object)
    refused("id-type", "predictions", score, FRAME.set_axis(index))
    refused(
        "column-type", "'a'", score, FRAME.assign(a=pd.Series([10**400] * N, IDS, dtype=object))
    )


@pytest.mark.parametrize("given", [5, object(), 1.5])
def test_names_that_are_no_list_are_refused(given):
    refused("data-type", "ids=", score, VALUES, [1.0, 2.0], TARGET, ids=given)
    refused("data-type", "users=", score, VALUES, [1.0, 2.0], TARGET, users=given)


@pytest.mark.parametrize("given", [["a"], FRAME, VALUES, None, 5, b"raw"])
def test_an_option_of_another_type_is_refused(given):
    for option in ("ties", "blend", "missing", "on_error"):
        with pytest.raises(ValueError, match=f"{option} must be '"):
            score(**{option: given})


@pytest.mark.parametrize("given", [["a"], FRAME, VALUES], ids=["list", "frame", "array"])
def test_a_column_is_named_by_one_name(given):
    frame = FRAME.assign(era=1, target=TARGET)
    for option in ("era", "ids", "meta_model"):
        if option == "meta_model" and given is FRAME:
            refused("header-duplicate", "frame", mmc_gpu.evaluate, frame, meta_model=given)
            continue
        if option == "meta_model" and given is VALUES:
            refused("column-ambiguous", "meta_model", mmc_gpu.evaluate, frame, meta_model=given)
            continue
        with pytest.raises(ValueError, match=f"{option}: name one column, not a"):
            mmc_gpu.evaluate(frame, **{option: given})


@pytest.mark.parametrize("given", [[["a"]], FRAME, VALUES], ids=["list", "frame", "array"])
def test_targets_are_named_by_names(given):
    frame = FRAME.assign(era=1, target=TARGET)
    with pytest.raises(
        ValueError, match=r"target: (a value of type list is no|give a list of columns, not a)"
    ):
        mmc_gpu.evaluate(frame, target=given)


def test_lists_of_what_is_no_name_are_refused():
    frame = FRAME.assign(era=1, target=TARGET)
    for option in ("models", "benchmarks", "features"):
        with pytest.raises(ValueError, match=f"{option}: a value of type list is no name"):
            mmc_gpu.evaluate(frame, **{option: [["a"]]})
        refused("data-type", option, mmc_gpu.evaluate, frame, **{option: 5})


@pytest.mark.parametrize("integer", [np.int8, np.int64, np.uint32, np.uint64])
def test_integers_of_numpy_are_integers(integer):
    assert score(draws=integer(3), seed=integer(4)).digest == score(draws=3, seed=4).digest
    assert load_engine("cpu", integer(2)).threads == 2
    ends = metrics.numerai_corr(FRAME, TARGETS, top_bottom=integer(3))
    pd.testing.assert_series_equal(ends, metrics.numerai_corr(FRAME, TARGETS, top_bottom=3))
    numbers = FRAME.assign(a=pd.Series([integer(n) for n in range(N)], IDS, dtype=object))
    plain = FRAME.assign(a=np.arange(N))
    options = {"blend": "ranked"}
    assert score(numbers, **options).digest == score(plain, **options).digest
    stakes = {"a": integer(1), "b": integer(2)}
    assert score(stakes=stakes).digest == score().digest
    users = [integer(1), integer(2)]
    found = score(VALUES, [1.0, 2.0], TARGET, ids=[integer(n) for n in range(N)], users=users)
    assert sorted(found.users) == ["1", "2"]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", [1], None])
def test_threads_are_a_whole_number(threads):
    if threads is None:
        assert load_engine("cpu", threads).threads >= 1
        return
    with pytest.raises(ValueError, match="threads must be"):
        load_engine("cpu", threads)


class TestAColumnOfIds:
    """A pandas frame with a column `id`: its ids, in rounds and in metrics."""

    COLUMN = FRAME.rename_axis("id").reset_index()

    def test_it_names_the_stocks_in_rounds_and_metrics(self):
        for name in ("id", "ID", " Id "):
            frame = self.COLUMN.rename(columns={"id": name})
            assert score(frame).digest == score().digest
            found = metrics.numerai_corr(frame, TARGETS)
            pd.testing.assert_series_equal(found, metrics.numerai_corr(FRAME, TARGETS))
            found = metrics.rank(frame)
            pd.testing.assert_frame_equal(found, metrics.rank(FRAME), check_names=False)

    def test_its_rows_are_joined_by_id(self):
        shuffled = self.COLUMN.sample(frac=1, random_state=0, ignore_index=True)
        pd.testing.assert_series_equal(
            metrics.numerai_corr(shuffled, TARGETS), metrics.numerai_corr(FRAME, TARGETS)
        )
        targets = TARGETS.rename("target").rename_axis("id").reset_index()
        pd.testing.assert_series_equal(
            metrics.numerai_corr(FRAME, targets), metrics.numerai_corr(FRAME, TARGETS)
        )

    def test_it_may_hold_integers(self):
        numbered = self.COLUMN.assign(id=range(N))
        found = metrics.numerai_corr(numbered, pd.Series(TARGET))
        assert list(found.index) == ["a", "b"]

    def test_ids_in_the_index_too_are_refused(self):
        both = FRAME.assign(id=IDS)
        refused("id-ambiguous", "predictions", score, both)
        refused("id-ambiguous", "predictions", metrics.numerai_corr, both, TARGETS)

    def test_a_series_of_that_name_is_a_series(self):
        series = TARGETS.rename("id")
        assert metrics.numerai_corr(series, TARGETS) == metrics.numerai_corr(TARGETS, TARGETS)

    def test_null_ids_and_ids_that_are_lists_are_refused(self):
        nulls = self.COLUMN.assign(id=[None, *IDS[1:]])
        refused("id-null", "predictions", metrics.numerai_corr, nulls, TARGETS)
        lists = self.COLUMN.assign(id=[[id_] for id_ in IDS])
        refused("id-type", "predictions", metrics.numerai_corr, lists, TARGETS)


class TestArrow:
    def test_a_chunked_array_is_an_array(self):
        assert score(VALUES, [1.0, 2.0], pa.chunked_array([TARGET])).digest == (
            score(VALUES, [1.0, 2.0], TARGET).digest
        )
        refused("array-shape", "predictions", score, pa.chunked_array([TARGET]))

    @pytest.mark.parametrize(
        ("column", "kind"),
        [
            ([[id_] for id_ in IDS], "list"),
            ([datetime.date(2026, 1, n + 1) for n in range(N)], "date32"),
            ([{"x": id_} for id_ in IDS], "struct"),
        ],
        ids=["list", "date", "struct"],
    )
    def test_ids_of_other_types_are_named_by_their_type(self, column, kind):
        refused("id-type", f"ids of type {kind}", score, pa.table({"id": column, "a": TARGET}))


TIMES = [np.timedelta64(1), np.timedelta64(1, "s"), np.datetime64("2026-01-01")]


@pytest.mark.parametrize("time", TIMES, ids=str)
def test_a_time_is_no_number_and_no_name(time):
    """NumPy counts a duration among its integers, and makes integers of arrays of times."""
    times = np.array(["2026-01-01", "2026-01-02"], "M8[ns]")
    refused("stake-invalid", "'a'", score, stakes=STAKES | {"a": time})
    frame = pd.DataFrame({"user": ["a", "b"], "stake": [time, 2.0]})
    refused("stake-invalid", "'a'", score, stakes=frame)
    numbers = FRAME.assign(a=pd.Series([time, *range(1, N)], IDS, dtype=object))
    refused("column-type", f"of type {type(time).__name__}", score, numbers)
    refused("user-name", "user", score, VALUES, [1.0, 2.0], TARGET, users=[time, "b"])
    refused("user-name", "user", score, VALUES, [1.0, 2.0], TARGET, users=times)
    refused("id-type", "ids=", score, VALUES, [1.0, 2.0], TARGET, ids=[time, *IDS[1:]])
    refused("id-type", "ids=", score, VALUES, [1.0, 2.0], TARGET, ids=np.repeat(times, 6))
    for option in ("draws", "seed", "sample", "scale"):
        with pytest.raises(ValueError, match=f"{option} must be"):
            score(**{option: time})


def test_a_name_of_a_column_that_is_a_list_is_refused():
    odd = FRAME.set_axis(pd.Index([["a"], "b"], dtype=object), axis=1)
    refused("column-name", "of type list", score, odd)
    refused("column-name", "of type list", score, stakes=odd)
    refused("column-name", "of type list", mmc_gpu.evaluate, odd)


NO_NUMBERS = ["", "x", float("nan"), float("inf"), [1], {}, 1j, np.datetime64("2026"), object()]
EVALUATED = pd.DataFrame({"era": np.repeat([1, 2], 6), "target": TARGET, "p": VALUES[:, 0]})
SETS = {"eras": EVALUATED["era"], "target": EVALUATED["target"], "engine": "numpy"}
NUMBERS = {
    "stakers": mmc_gpu.draw_counts,
    "draws": lambda **given: mmc_gpu.draw_counts(5, **given),
    "sample": lambda **given: mmc_gpu.draw_counts(5, **given),
    "seed": lambda **given: mmc_gpu.draw_counts(5, **given),
    "first": lambda **given: mmc_gpu.draw_counts(5, **given),
    "every": lambda **given: mmc_gpu.evaluate(EVALUATED, **given),
    "least": lambda **given: mmc_gpu.evaluate(EVALUATED).compare(**given),
    "trials": lambda **given: mmc_gpu.evaluate(EVALUATED).compare(**given),
    "recent": lambda **given: mmc_gpu.evaluate(EVALUATED).compare(**given),
    "eras": lambda **given: mmc_gpu.evaluate(EVALUATED).rolling(**given),
    "level": lambda **given: score().rank_intervals(**given),
    "target": lambda **given: score().rank_intervals(**given),
    "rules": lambda **given: mmc_gpu.history(".", "no", **given),
    "definitions": lambda **given: mmc_gpu.history(".", "no", **given),
    "user": lambda **given: mmc_gpu.verify(".", submission=FRAME, **given),
    "tournament": lambda **given: Universe.of(
        pa.table({"numerai_ticker": []}), *given.values(), "x"
    ),
    "top": lambda **given: score().plot.leaderboard(**given),
    "scale": lambda **given: metrics.legacy_contribution(FRAME, TARGETS, TARGETS, **given),
    "proportion": lambda **given: metrics.neutralize(FRAME, FRAME[["a"]], **given),
    "target_scale": lambda **given: metrics.correlation_contribution(
        FRAME, TARGETS, TARGETS, **given
    ),
    "max_filtered_index_ratio": lambda **given: metrics.numerai_corr(FRAME, TARGETS, **given),
    "progress": lambda **given: score(**given),
    "scores": lambda **given: metrics.mmc_difference(user="a", other="b", **given),
    "cluster": lambda **given: mmc_gpu.evaluate(EVALUATED, **given),
    "metric": mmc_gpu.training.EraMetrics(**SETS).xgboost_sklearn,
    "ties": lambda **given: mmc_gpu.meta_model(FRAME, STAKES, engine="numpy", **given),
    "method": lambda **given: metrics.rank(FRAME, **given),
}


@pytest.mark.parametrize("option", NUMBERS)
def test_what_an_option_cannot_use_is_refused_with_its_name(option):
    for odd in NO_NUMBERS:
        named = option in ("cluster", "rules", "user") and isinstance(odd, str | list | dict)
        if not named:  # which may be an address, a list of rules, or a user
            with pytest.raises(ValueError, match=rf"\b{option}\b"):
                NUMBERS[option](**{option: odd})


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "a\0b.csv", "/" + "b/" * 3000 + "c.csv", ""])
def test_what_can_be_no_path_is_a_fault_with_a_code(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = {"file-missing", "file-unreadable", "receipt-invalid", "round-layout", "column-unknown"}
    reading = [
        lambda: mmc_gpu.evaluate(path),
        lambda: mmc_gpu.evaluate(EVALUATED, predictions=path),
        lambda: mmc_gpu.evaluate(EVALUATED, predictions={"m": path}),
        lambda: mmc_gpu.evaluate(EVALUATED, benchmarks=[path]),
        lambda: mmc_gpu.open_round(path),
        lambda: mmc_gpu.verify(path, "a", FRAME),
    ]
    for call in reading:
        with pytest.raises(RoundError) as caught:
            call()
        assert caught.value.code in codes
    with pytest.raises(RoundError, match="output-failed"):
        score().report(path)
    assert not list(tmp_path.iterdir())


def test_what_is_no_path_is_refused_with_the_name_of_the_option(tmp_path):
    for odd in (3, None, b"x"):
        with pytest.raises(ValueError, match="folder must be a path"):
            mmc_gpu.open_round(odd)
        with pytest.raises(ValueError, match="public must be a path"):
            mmc_gpu.verify(odd, "a", FRAME)
        with pytest.raises(ValueError, match="results must be a path"):
            mmc_gpu.history(odd, tmp_path)


def test_a_round_takes_no_other_blend_and_no_unknown_policy(tmp_path):
    from mmc_gpu.rounds.round import take_round

    round_ = take_round(FRAME, STAKES, TARGETS)
    with pytest.raises(ValueError, match="on_error must be"):
        mmc_gpu.score_round(round_, on_error="x", engine="numpy")
    with pytest.raises(ValueError, match="checked for blend='raw', not 'ranked'"):
        mmc_gpu.meta_model(round_, blend="ranked")
