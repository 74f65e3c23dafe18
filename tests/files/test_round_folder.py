"""Rounds in folders: every form gives one digest, every fault its code, for its user alone."""

import gzip
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from systems import posix

from mmc_gpu.api import open_round, score_round
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round
from mmc_gpu.rounds.scoring import score

USERS = ["ann", "bob", "cyd", "dan"]
STAKES = {"ann": 3.0, "bob": 0.25, "dan": 1e-3}


@pytest.fixture(scope="module")
def frame():
    """Predictions, stocks x users, rows in no order."""
    sample = make_sample_round(users=4, stocks=120, seed=5)
    frame = pd.DataFrame(sample.predictions.T, index=sample.ids, columns=USERS)
    return frame.sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def targets(frame):
    return pd.Series(np.arange(120) % 5 / 4, index=sorted(frame.index), name="target")


@pytest.fixture
def folder(tmp_path, frame, targets):
    """A round with one CSV a user."""
    (tmp_path / "submissions").mkdir()
    for user in USERS:
        submission(tmp_path, user, frame[user])
    targets.rename_axis("id").to_csv(tmp_path / "targets.csv")
    pd.Series(STAKES, name="stake").rename_axis("user").to_csv(tmp_path / "stakes.csv")
    return tmp_path


def submission(folder, user, series, suffix=".csv"):
    """Write a user's submission, or replace it."""
    table = series.rename("prediction").rename_axis("id").reset_index()
    if suffix == ".parquet":
        table.to_parquet(folder / f"submissions/{user}.parquet", index=False)
    else:
        table.to_csv(folder / f"submissions/{user}{suffix}", index=False)


def digest(folder, **options):
    return score(read_round(folder, **options).round, Method(), load_engine("numpy")).digest


def faults(folder, **options):
    """Return (user, code) of everybody who is quarantined."""
    return [(fault.user, fault.code) for fault in read_round(folder, **options).round.quarantined]


@pytest.fixture
def expected(frame, targets):
    return score_round(frame, STAKES, targets, engine="numpy").digest


class TestEveryFormGivesOneDigest:
    def test_submissions_as_csv(self, folder, expected):
        assert digest(folder) == expected

    @pytest.mark.parametrize("suffix", [".parquet", ".csv.gz"])
    def test_submissions_in_other_formats(self, folder, frame, expected, suffix):
        for user in USERS[:2]:
            (folder / f"submissions/{user}.csv").unlink()
            submission(folder, user, frame[user], suffix)
        assert digest(folder) == expected

    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
    def test_one_wide_file(self, folder, frame, expected, suffix):
        shutil.rmtree(folder / "submissions")
        wide = frame.rename_axis("id").reset_index()
        if suffix == ".parquet":
            wide.to_parquet(folder / "predictions.parquet", index=False)
        else:
            wide.to_csv(folder / f"predictions{suffix}", index=False)
        assert digest(folder) == expected

    def test_targets_and_stakes_as_parquet(self, folder, targets, expected):
        (folder / "targets.csv").unlink()
        (folder / "stakes.csv").unlink()
        targets.rename_axis("id").reset_index().to_parquet(folder / "targets.parquet")
        stakes = pa.table({"user": list(STAKES), "stake": list(STAKES.values())})
        pq.write_table(stakes, folder / "stakes.parquet")
        assert digest(folder) == expected

    def test_odd_headers_are_taken_and_noted(self, folder, frame, expected):
        swapped = pd.DataFrame({"Prediction": frame["ann"], "note": "x", "ID": frame.index})
        swapped.to_csv(folder / "submissions/ann.csv", index=False)
        text = (folder / "stakes.csv").read_text()
        (folder / "stakes.csv").write_text(text.replace("user,stake", "User,stake"))
        assert digest(folder) == expected
        assert read_round(folder).round.notes == (
            "1 submission with column names in another case",
            "1 submission with further columns, which were ignored",
            "1 submission with swapped columns",
            "stakes.csv with column names in another case",
        )

    def test_hidden_files_are_no_submissions(self, folder, expected):
        (folder / "submissions/.DS_Store").write_bytes(b"\0")
        assert digest(folder) == expected

    def test_every_input_is_listed_with_its_sha256(self, folder):
        files = [entry["file"] for entry in read_round(folder).inputs]
        assert files == ["stakes.csv", *(f"submissions/{u}.csv" for u in USERS), "targets.csv"]


class TestFaultsOfOneSubmission:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "file-empty"),
            ("id,prediction\n", "file-empty"),
            ("id;prediction\nn1;0.5\n", "file-separator"),
            ("id,prediction\nn1,0.5,7\n", "row-width"),
            ("id,score\nn1,0.5\n", "column-missing"),
            ("id,prediction,Prediction\nn1,0.5,0.5\n", "column-ambiguous"),
            ("id,prediction,prediction\nn1,0.5,0.5\n", "header-duplicate"),
            ("id,prediction\nn1,0.5\n", "id-other-round"),
            ('id,prediction\nn1,"0,5"\n', "value-text"),
            ("\x00\x01\x02", "file-encoding"),
        ],
    )
    def test_a_bad_csv_is_quarantined(self, folder, text, code):
        (folder / "submissions/cyd.csv").write_text(text)
        assert faults(folder) == [("cyd", code)]
        with pytest.raises(RoundError) as caught:
            read_round(folder, on_error="fail")
        assert caught.value.code == code

    def test_nobody_else_is_scored_otherwise(self, folder):
        without = score(read_round(folder).round, Method(), load_engine("numpy"))
        (folder / "submissions/zoe.csv").write_text("broken")
        broken = read_round(folder)
        assert score(broken.round, Method(), load_engine("numpy")).digest == without.digest

    def test_a_pickle_is_refused_by_its_name(self, folder):
        (folder / "submissions/eve.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        assert faults(folder) == [("eve", "file-format")]

    @posix
    def test_links_pipes_and_folders_are_refused(self, folder):
        (folder / "submissions/link.csv").symlink_to(folder / "submissions/ann.csv")
        os.mkfifo(folder / "submissions/pipe.csv")
        (folder / "submissions/sub.csv").mkdir()
        assert faults(folder) == [
            ("link", "file-regular"),
            ("pipe", "file-regular"),
            ("sub", "file-regular"),
        ]

    def test_two_files_of_one_user_are_both_refused(self, folder, frame):
        submission(folder, "ann", frame["ann"], ".parquet")
        assert faults(folder) == [("ann", "user-duplicate")]  # whose detail names both

    def test_missing_ids_are_counted_or_filled(self, folder, frame):
        submission(folder, "ann", frame["ann"].iloc[2:])
        assert faults(folder) == [("ann", "id-missing")]
        filled = read_round(folder, missing="fill").round
        assert filled.filled.tolist() == [2, 0, 0, 0]

    def test_extra_ids_are_ignored_and_noted(self, folder, frame, expected):
        submission(folder, "ann", pd.concat([frame["ann"], pd.Series([9.0], index=["x1"])]))
        assert digest(folder) == expected
        assert read_round(folder).round.notes == (
            "1 submission with ids that have no target, which were ignored",
        )

    def test_an_id_twice_is_named(self, folder, frame):
        submission(folder, "ann", pd.concat([frame["ann"], frame["ann"].iloc[:1]]))
        assert faults(folder) == [("ann", "id-duplicate")]

    @posix
    def test_a_name_that_is_no_name_is_quarantined(self, folder, frame):
        submission(folder, "a\x1bb", frame["ann"])
        (fault,) = read_round(folder).round.quarantined
        assert (fault.user, fault.code) == ("a\\x1bb", "user-name")


class TestFaultsOfTheWholeRound:
    def code(self, folder):
        with pytest.raises(RoundError) as caught:
            read_round(folder)
        return caught.value.code

    def test_no_such_folder(self, tmp_path):
        assert self.code(tmp_path / "nothing") == "file-missing"

    @pytest.mark.parametrize(
        ("name", "code"), [("targets.csv", "target-waiting"), ("stakes.csv", "round-layout")]
    )
    def test_a_shared_file_that_is_not_there(self, folder, name, code):
        (folder / name).unlink()
        assert self.code(folder) == code

    def test_neither_predictions_nor_submissions(self, folder):
        shutil.rmtree(folder / "submissions")
        assert self.code(folder) == "round-layout"

    def test_both_predictions_and_submissions(self, folder):
        shutil.copy(folder / "targets.csv", folder / "predictions.csv")
        assert self.code(folder) == "round-layout"

    def test_targets_twice(self, folder):
        shutil.copy(folder / "targets.csv", folder / "targets.parquet")
        assert self.code(folder) == "round-layout"

    def test_targets_in_a_format_that_is_not_read(self, folder):
        (folder / "targets.csv").rename(folder / "targets.npy")
        assert self.code(folder) == "file-format"

    def test_a_damaged_wide_file(self, folder):
        shutil.rmtree(folder / "submissions")
        (folder / "predictions.parquet").write_bytes(b"PAR1 no more")
        assert self.code(folder) == "file-damaged"

    def test_stakes_as_text(self, folder):
        (folder / "stakes.csv").write_text('user,stake\nann,3\nbob,"1,5"\n')
        assert faults(folder) == [("bob", "value-text")]


def test_ids_that_look_like_numbers_or_nulls_stay_text(folder, frame, targets, expected):
    odd = dict(zip(frame.index[:4], ["NA", "00123", "1e5", "null"], strict=True))
    shutil.rmtree(folder / "submissions")
    (folder / "submissions").mkdir()
    for user in USERS:
        submission(folder, user, frame[user].rename(index=odd))
    targets.rename(index=odd).rename_axis("id").to_csv(folder / "targets.csv")
    renamed = score_round(
        frame.rename(index=odd), STAKES, targets.rename(index=odd), engine="numpy"
    )
    assert digest(folder) == renamed.digest


def test_gzip_is_read_as_what_is_in_it(folder, expected):
    data = (folder / "targets.csv").read_bytes()
    (folder / "targets.csv").unlink()
    (folder / "targets.csv.gz").write_bytes(gzip.compress(data))
    assert digest(folder) == expected


def test_many_ties_are_noted_those_with_most_first(folder, frame):
    submission(folder, "bob", frame["bob"].round(1))
    submission(folder, "dan", (frame["dan"] > 0.5) / 2)
    submission(folder, "cyd", frame["cyd"].round(9))
    (note,) = read_round(folder).round.notes
    assert note == (
        "2 submissions have fewer than half as many different values as stocks, the least 2:"
        " 'dan', 'bob'"
    )


def test_ties_of_a_quarantined_user_are_not_noted(folder, frame):
    submission(folder, "bob", frame["bob"] * 0 + 7)
    found = read_round(folder).round
    assert [fault.user for fault in found.quarantined] == ["bob"]
    assert found.notes == ()


@pytest.mark.parametrize("option", ["missing", "on_error", "blend", "tournament"])
def test_an_option_that_does_not_exist_is_refused(tmp_path, option):
    write_sample_round(tmp_path, make_sample_round(5, 40, seed=1))
    with pytest.raises(ValueError, match=f"{option} must be '.*not 'other'"):
        open_round(tmp_path, **{option: "other"})
