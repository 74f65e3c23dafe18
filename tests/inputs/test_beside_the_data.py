"""Row numbers, eras, dates and columns without a name, in frames: neither targets nor users."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mmc_gpu
from mmc_gpu.errors import RoundError
from mmc_gpu.inputs.beside import beside

pl = pytest.importorskip("polars", reason="the extra `test` has polars")

RANDOM = np.random.default_rng(5)
COUNT = 40
IDS = [f"n{number:03}" for number in range(COUNT)]
TARGETS = pd.DataFrame({"id": IDS, "target": RANDOM.random(COUNT)})
PREDICTIONS = pd.DataFrame({"id": IDS, "ann": RANDOM.random(COUNT), "bob": RANDOM.random(COUNT)})
STAKES = {"ann": 1.0, "bob": 2.0}
NUMBERS = RANDOM.permutation(COUNT)
NAMES = ["", "Unnamed: 0", "__index_level_0__", "X", "index", "...1", "row"]
ROWS = {
    "in order": np.arange(COUNT),
    "as R counts": np.arange(1, COUNT + 1),
    "shuffled": NUMBERS,
    "filtered": np.sort(NUMBERS) * 7 + 3,
    "of floats": NUMBERS.astype(float),
    "with a gap": np.where(NUMBERS == 3, np.nan, NUMBERS),
    "of text": [str(number) for number in NUMBERS],
}
KINDS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


def score(predictions=PREDICTIONS, stakes=STAKES, targets=TARGETS, **options):
    return mmc_gpu.score_round(predictions, stakes, targets, engine="numpy", **options)


DIGEST = score().digest


def with_column(frame, name, values, at=0):
    frame = frame.copy()
    frame.insert(at, name, values)
    return frame


@pytest.mark.parametrize(
    ("rows", "name", "kind"),
    [
        (rows, name, list(KINDS)[(a + b) % 3])  # each pair of a kind and one of the others
        for a, rows in enumerate(ROWS)
        for b, name in enumerate(NAMES)
    ],
)
def test_row_numbers_are_neither_a_target_nor_a_user(rows, name, kind):
    targets = KINDS[kind](with_column(TARGETS, name, ROWS[rows]))
    predictions = KINDS[kind](with_column(PREDICTIONS, name, ROWS[rows], 2))
    scores = score(predictions, STAKES, targets)
    assert (scores.targets, scores.users, scores.digest) == (["target"], ["ann", "bob"], DIGEST)
    renamed = kind == "polars" and not name and "" not in targets.columns
    shown = "'column_" if renamed else f"{name!r} ("  # as later versions of polars call it
    notes = [note for note in scores.notes if shown in note]
    assert sorted(note.split(":")[0] for note in notes) == ["predictions", "targets"]


@pytest.mark.parametrize(
    "values",
    [
        ["1100"] * COUNT,
        ["era12", "era13"] * (COUNT // 2),
        ["live"] * COUNT,
        [1100] * COUNT,
        pd.Categorical(["live"] * COUNT),
        pd.to_datetime(["2024-01-05", "2024-01-06"] * (COUNT // 2)),
        [datetime.date(2024, 1, 5)] * COUNT,
        ["2024-01-05", "2024-01-06"] * (COUNT // 2),
        [20240105, 20240106] * (COUNT // 2),
        IDS,
        [None] * COUNT,
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_eras_dates_and_types_of_data_are_no_targets(values, kind):
    name = "Unnamed: 5" if values[0] is None else "anything"
    scores = score(targets=KINDS[kind](with_column(TARGETS, name, values)))
    assert (scores.targets, scores.digest) == (["target"], DIGEST)
    assert any(f"{name!r} (" in note for note in scores.notes)


@pytest.mark.parametrize("name", ["target", "target_ada", "TARGET_2"])
def test_a_target_of_whole_numbers_is_one_by_its_name(name):
    scores = score(targets=pd.DataFrame({"id": IDS, name: NUMBERS}))
    assert (scores.targets, scores.notes) == ([name], ())


def test_a_series_of_whole_numbers_is_a_target():
    assert score(targets=pd.Series(NUMBERS, index=IDS)).targets == ["target"]


@pytest.mark.parametrize("values", [NUMBERS // 2, NUMBERS % 2, -NUMBERS, NUMBERS / 8])
def test_numbers_that_count_no_rows_are_a_target(values):
    scores = score(targets=pd.DataFrame({"id": IDS, "returns": values}))
    assert (scores.targets, scores.notes) == (["returns"], ())


def test_row_numbers_alone_are_refused_as_a_target():
    with pytest.raises(RoundError, match=r"no target .*'X' \(row numbers\).*name a target"):
        score(targets=pd.DataFrame({"id": IDS, "X": NUMBERS}))


@pytest.mark.parametrize(
    ("names", "leading"),
    [(["b", "target", "a"], "target"), (["b", "a"], "b"), (["target_b", "target"], "target")],
)
def test_the_target_named_target_leads_else_the_first(names, leading):
    values = {name: RANDOM.random(COUNT) for name in names}
    scores = score(targets=pd.DataFrame({"id": IDS, **values}))
    assert scores.targets[0] == leading
    assert scores.table["target"].iloc[0] == leading
    assert sorted(scores.targets) == sorted(names)


class TestAUserWhomTheStakesName:
    def test_is_a_user_by_any_predictions(self):
        frame = with_column(PREDICTIONS, "cyd", NUMBERS)
        assert "cyd" not in score(frame).users
        for stakes in (STAKES | {"cyd": 0.0}, pd.Series(STAKES | {"cyd": 0.0})):
            assert "cyd" in score(frame, stakes).users
        assert "cyd" in score(frame, STAKES | {"cyd": 3.0}, blend="ranked").users

    def test_has_a_fault_and_is_not_left_out_in_silence(self):
        frame = with_column(PREDICTIONS, "cyd", NUMBERS)
        with pytest.raises(RoundError, match="'cyd': staked") as caught:
            score(frame, STAKES | {"cyd": 3.0})
        assert caught.value.code == "prediction-range"
        scores = score(frame, STAKES | {"cyd": -1.0}, on_error="quarantine")
        assert [fault.user for fault in scores.quarantined] == ["cyd"]

    def test_in_another_case_is_a_fault_too(self):
        frame = with_column(PREDICTIONS, "cyd", NUMBERS)
        scores = score(frame, STAKES | {"Cyd": 3.0}, on_error="quarantine")
        assert [fault.code for fault in scores.quarantined] == ["stake-user"]


def test_a_round_of_row_numbers_alone_has_no_submission():
    with pytest.raises(RoundError, match=r"no submission \(predictions: .*'X' \(row numbers\)"):
        score(pd.DataFrame({"id": IDS, "X": NUMBERS}))


def test_narrow_predictions_keep_their_digest_beside_row_numbers():
    narrow = PREDICTIONS.astype({"ann": "float32", "bob": "float32"})
    assert score(with_column(narrow, "X", NUMBERS)).digest == score(narrow).digest


@pytest.mark.parametrize("values", [NUMBERS % 2, NUMBERS // 8, NUMBERS % 2 == 1])
def test_few_whole_numbers_are_predictions(values):
    scores = score(with_column(PREDICTIONS, "cyd", values))
    assert "cyd" in scores.users


def test_predictions_without_a_name_are_a_fault_and_never_a_user():
    values = RANDOM.random(COUNT)
    scores = score(with_column(PREDICTIONS, "", values), on_error="quarantine")
    assert ([fault.code for fault in scores.quarantined], scores.digest) == (["user-name"], DIGEST)
    scores = score(with_column(PREDICTIONS, "Unnamed: 3", values))
    assert scores.digest == DIGEST
    assert "'Unnamed: 3' (no name)" in " ".join(scores.notes)


def test_what_is_no_number_stays_a_fault_of_its_user():
    for values in (["0,5", "0,25"] * (COUNT // 2), [f"0,{n}" for n in range(COUNT)]):
        scores = score(with_column(PREDICTIONS, "cyd", values), on_error="quarantine")
        assert [fault.user for fault in scores.quarantined] == ["cyd"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__", "X", "index"])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_ids_under_any_name(name, kind):
    shuffled = PREDICTIONS.sample(frac=1, random_state=1).reset_index(drop=True)
    targets = KINDS[kind](TARGETS.rename(columns={"id": name}))
    assert (
        score(KINDS[kind](shuffled.rename(columns={"id": name})), targets=targets).digest == DIGEST
    )


def test_pandas_index_in_an_arrow_table_is_ids_or_ignored():
    named = pa.Table.from_pandas(PREDICTIONS.set_index("id").rename_axis(None))
    assert named.column_names[-1] == "__index_level_0__"
    assert score(named).digest == DIGEST
    index = pd.Index([f"row {n}" for n in NUMBERS], name="odd")
    predictions = pa.Table.from_pandas(PREDICTIONS.set_index(index))
    scores = score(predictions, targets=pa.Table.from_pandas(TARGETS.set_index(index)))
    assert (scores.digest, scores.targets, scores.users) == (DIGEST, ["target"], ["ann", "bob"])
    assert " ".join(scores.notes).count("'odd' (pandas' index)") == 2


def test_row_numbers_in_the_index_beside_a_column_of_ids_are_ignored():
    scores = score(
        PREDICTIONS.sample(frac=1, random_state=1), targets=TARGETS.sample(frac=1, random_state=2)
    )
    assert scores.digest == DIGEST
    assert sum("(row numbers)" in note for note in scores.notes) == 2
    with pytest.raises(RoundError, match="an index of ids and a column"):
        score(PREDICTIONS.set_index(pd.Index([f"x{n}" for n in NUMBERS])))


def test_further_columns_of_stakes_are_noted():
    stakes = pd.DataFrame({"Unnamed: 0": [0, 1], "user": ["ann", "bob"], "stake": [1.0, 2.0]})
    for kind in KINDS.values():
        scores = score(stakes=kind(stakes))
        assert (scores.digest, scores.users) == (DIGEST, ["ann", "bob"])
        assert "stakes with further columns, which were ignored" in scores.notes


def test_large_numbers_and_small_rounds_are_data():
    assert beside("x", np.array([0.0, 1.0])) is None
    assert beside("x", np.array([1e10, 2e10, 3e10])) is None
    assert beside("x", np.array([1.0, 2.0, np.inf])) is None
    assert beside("x", np.array([1.0, 2.0, 3.0])) == "row numbers"


@pytest.mark.parametrize(
    "values", [[[1.0]] * COUNT, [np.arange(2)] * COUNT, [b"live"] * COUNT, [10**5000, 0.5] * 20]
)
def test_what_cannot_be_taken_is_still_refused_by_its_type(values):
    column = pd.Series(values, dtype=object)
    with pytest.raises(RoundError):
        score(targets=with_column(TARGETS, "odd", column))
    scores = score(with_column(PREDICTIONS, "cyd", column), on_error="quarantine")
    assert [fault.user for fault in scores.quarantined] == ["cyd"]
    with pytest.raises((RoundError, OverflowError)) as refused:
        score(targets=with_column(TARGETS, 10**5000, [[1.0]] * COUNT))
    # pandas 2 makes no such column
    assert refused.type is RoundError or pd.__version__ < "3"


@pytest.mark.parametrize("kind", ["category", "datetime64[ns]"])
def test_types_of_parquet_are_recognised_as_from_python(tmp_path, kind):
    words = pd.Series(["2024-01-05"] * COUNT).astype(kind)
    with_column(TARGETS, "odd", words).to_parquet(tmp_path / "targets.parquet")
    PREDICTIONS.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "stakes.csv").write_text("user,stake\nann,1\nbob,2\n")
    round_ = mmc_gpu.open_round(tmp_path)
    assert list(round_.targets) == ["target"]
