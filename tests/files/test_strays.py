"""What is no data of a round, files and rows alike, is said and changes nothing."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from systems import POSIX, posix

from mmc_gpu.engines import load_engine
from mmc_gpu.engines.selection import copied
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import Limits
from mmc_gpu.files.rounds.folder import RoundFolder
from mmc_gpu.files.rounds.packed import open_packed
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import list_inputs, read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score

IDS = [f"n{number:03d}" for number in range(60)]
STRAYS = [
    "ann.md5", "ann.csv.sha256", "ann.csv~", "#ann.csv#", "ann.csv.bak", "ann.bak", "ann.tmp",
    "ann.part", "ann.csv.part", ".DS_Store", "._ann.csv", ".dot.csv", "Thumbs.db", "desktop.ini",
    "ann.csv:Zone.Identifier", "ann.json", "ann.JSON", "ann.md", "README", "ann", "~$ann.xlsx",
    ".git",
]  # fmt: skip
STRAYS = [name for name in STRAYS if POSIX or ":" not in name]
DATA = [
    ".npy", ".pkl", ".joblib", ".pt", ".xlsx", ".feather", ".tsv", ".txt", ".zip", ".h5", ".NPY",
    ".csv.zip", ".tsv.gz",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A round with one CSV a user."""
    rng = np.random.default_rng(4)
    (tmp_path / "round/submissions").mkdir(parents=True)
    for user in ("ann", "bob", "cyd"):
        submission(tmp_path / "round", user, pd.Series(rng.random(60), IDS))
    target = pd.Series(np.arange(60) % 5 / 4, IDS, name="target").rename_axis("id")
    target.to_csv(tmp_path / "round/targets.csv")
    (tmp_path / "round/stakes.csv").write_text("user,stake\nann,5\nbob,2\n")
    return tmp_path / "round"


@pytest.fixture
def wide(folder):
    """The same round with one column a user."""
    files = sorted((folder / "submissions").iterdir())
    columns = {path.stem: pd.read_csv(path, index_col="id")["prediction"] for path in files}
    shutil.rmtree(folder / "submissions")
    pd.DataFrame(columns).to_csv(folder / "predictions.csv")
    return folder


def submission(folder, user, values):
    values.rename("prediction").rename_axis("id").to_csv(folder / f"submissions/{user}.csv")


def digest(round_):
    return score(round_, Method(), load_engine("numpy")).digest


def faults(folder):
    return [(fault.user, fault.code) for fault in read_round(folder).round.quarantined]


def packed_digest(folder):
    packing = pack_round(folder, folder.parent / "packed")
    assert packing.quarantined == ()
    return digest(read_round(folder.parent / "packed").round), packing.notes


class TestFilesThatAreNoData:
    def test_a_file_beside_submissions_is_ignored_and_said(self, folder):
        before = digest(read_round(folder).round), list_inputs(folder)
        for name in STRAYS:
            (folder / "submissions" / name).write_text("x\n")
            found = read_round(folder)
            note = "1 file was ignored, hidden or no data of a round: "
            assert found.round.notes == (f"{note}'submissions/{name}'",)
            assert found.round.quarantined == ()
            assert (digest(found.round), found.inputs) == before, name
            assert list_inputs(folder) == before[1], name
            (folder / "submissions" / name).unlink()
        for name in STRAYS:
            (folder / "submissions" / name).write_text("x\n")
        assert packed_digest(folder) == (before[0], read_round(folder).round.notes)

    @pytest.mark.parametrize("role", ["targets", "stakes", "predictions"])
    def test_a_file_beside_those_of_all_users_is_ignored_and_said(self, wide, role):
        before = digest(read_round(wide).round), list_inputs(wide)
        names = [name.replace("ann", role) for name in STRAYS]
        names += [f"{role}{suffix}" for suffix in DATA]
        for name in set(names) - {role}:
            (wide / name).write_text("x\n")
        (note,) = read_round(wide).round.notes
        assert note.startswith(f"{len(set(names)) - 1} files were ignored")
        assert "'.dot.csv'" in note
        assert (digest(read_round(wide).round), list_inputs(wide)) == before
        assert packed_digest(wide) == (before[0], (note,))

    @posix
    def test_a_hidden_csv_is_named_before_others(self, folder):
        for name in STRAYS:
            (folder / "submissions" / name).write_text("x\n")
        (note,) = read_round(folder).round.notes
        assert note.startswith(f"{len(STRAYS)} files were ignored")
        assert "'submissions/.dot.csv'" in note
        assert note.endswith(f"and {len(STRAYS) - 10} more")

    def test_folders_beside_the_round_are_none_of_its_files(self, folder):
        (folder / "results").mkdir()
        assert read_round(folder).round.notes == ()
        (folder / "submissions/__MACOSX").mkdir()
        assert "'submissions/__MACOSX'" in read_round(folder).round.notes[0]


class TestDataThatIsNotRead:
    def test_alone_it_is_its_users_fault(self, folder):
        for number, suffix in enumerate(DATA):
            (folder / f"submissions/eve_{number:02d}{suffix}").write_text("x\n")
        expected = [(f"eve_{number:02d}", "file-format") for number in range(len(DATA))]
        assert sorted(faults(folder)) == expected
        assert list_inputs(folder) == read_round(folder).inputs
        packing = pack_round(folder, folder.parent / "packed")
        assert [(fault.user, fault.code) for fault in packing.quarantined] == faults(folder)

    def test_beside_a_readable_file_of_the_same_user_it_is_ignored(self, folder):
        stems = [f"submissions/eve_{number}" for number in range(len(DATA))]
        for stem in stems:
            shutil.copy(folder / "submissions/ann.csv", folder / f"{stem}.csv")
        before = digest(read_round(folder).round)
        beside = [folder / f"{stem}{suffix}" for stem, suffix in zip(stems, DATA, strict=True)]
        for path in beside:
            path.write_text("x\n")
        assert RoundFolder(folder).ignored == set(beside)
        found = read_round(folder).round
        assert found.notes[0].startswith(f"{len(DATA)} files were ignored")
        assert digest(found) == before

    @posix
    def test_a_name_that_is_not_utf_8_is_its_users_fault(self, folder):
        shutil.copy(
            folder / "submissions/ann.csv",
            os.fsdecode(bytes(folder / "submissions") + b"/\xff.csv"),
        )
        (fault,) = read_round(folder).round.quarantined
        assert (fault.user, fault.code, fault.file) == (
            "\\udcff",
            "user-name",
            "submissions/\\udcff.csv",
        )
        json.dumps(list_inputs(folder), ensure_ascii=False).encode()
        assert pack_round(folder, folder.parent / "packed").quarantined == (fault,)

    def test_several_of_one_user_are_one_fault(self, folder):
        for suffix in (".npy", ".pkl", ".csv.bz2"):
            (folder / f"submissions/eve{suffix}").write_text("x\n")
        assert faults(folder) == [("eve", "file-format")]

    @pytest.mark.parametrize("stem", ["targets", "stakes", "predictions"])
    def test_alone_in_the_place_of_a_file_of_all_users_it_is_refused(self, wide, stem):
        (wide / f"{stem}.csv").rename(wide / f"{stem}.NPY")
        with pytest.raises(RoundError, match=rf"{stem}\.NPY'? is none of"):
            read_round(wide)

    def test_predictions_that_are_not_read_leave_the_submissions_alone(self, folder):
        (folder / "predictions.npy").write_text("x")
        assert "'predictions.npy'" in read_round(folder).round.notes[0]
        assert faults(folder) == []


class TestWhoseAFileIs:
    def test_suffixes_count_in_any_case(self, folder):
        before = digest(read_round(folder).round)
        frame = pd.read_csv(folder / "submissions/bob.csv")
        (folder / "submissions/bob.csv").unlink()
        frame.to_csv(folder / "submissions/bob.CSV.GZ", index=False, compression="gzip")
        (folder / "targets.csv").rename(folder / "targets.CSV")
        assert digest(read_round(folder).round) == before

    def test_two_files_of_one_user_are_both_named(self, folder):
        shutil.copy(folder / "submissions/ann.csv", folder / "submissions/ann.CSV")
        expected = "user 'ann': 2 submissions: 'submissions/ann.CSV', 'submissions/ann.csv'"
        assert [fault.detail for fault in read_round(folder).round.quarantined] == [expected]
        packing = pack_round(folder, folder.parent / "packed")
        assert [fault.detail for fault in packing.quarantined] == [expected]

    def test_another_stem_is_no_role(self, folder):
        shutil.copy(folder / "targets.csv", folder / "targets.old.csv")
        assert "'targets.old.csv'" in read_round(folder).round.notes[0]


class TestRowsOfOtherRounds:
    """A submission is judged by the live ids that it lacks, not by what it has besides."""

    @pytest.fixture
    def more(self, folder):
        """Give ann many rows besides: of validation, without predictions, and an id twice."""
        frame = pd.read_csv(folder / "submissions/ann.csv", index_col="id")["prediction"]
        besides = pd.Series(7.0, [f"v{number:05d}" for number in range(1000)])
        besides.iloc[::3] = np.nan
        many = pd.concat([besides, frame, besides.iloc[:1]])
        submission(folder, "ann", many)
        return many

    def test_a_submission(self, folder, more):
        found = read_round(folder).round
        note = "1 submission with ids that have no target, which were ignored"
        assert (found.quarantined, found.notes) == ((), (note,))
        submission(folder, "ann", more[IDS])
        assert digest(found) == digest(read_round(folder).round)

    def test_a_packed_submission(self, folder, more):
        expected = digest(read_round(folder).round)
        note = "1 submission with ids that have no target, which were ignored"
        assert packed_digest(folder) == (expected, (note,))

    def test_a_wide_file(self, wide):
        expected = digest(read_round(wide).round)
        frame = pd.read_csv(wide / "predictions.csv", index_col="id")
        besides = frame.rename(index="v{}".format)
        pd.concat([*(besides.add_prefix(f"{n}", axis=0) for n in range(5)), frame]).to_csv(
            wide / "predictions.csv"
        )
        found = read_round(wide).round
        assert found.notes == ("300 ids without a target were ignored",)
        assert digest(found) == expected
        note = "300 ids are none of the round's, and ignored"
        assert packed_digest(wide) == (expected, (note,))

    @pytest.mark.parametrize(("lacking", "code"), [(2, "id-missing"), (13, "id-other-round")])
    def test_lacking_live_ids_count(self, folder, more, lacking, code):
        submission(folder, "ann", more.drop(IDS[:lacking]))
        assert faults(folder) == [("ann", code)]

    def test_a_live_id_twice_is_a_fault(self, folder, more):
        submission(folder, "ann", pd.concat([more, more[IDS[:1]]]))
        assert faults(folder) == [("ann", "id-duplicate")]

    def test_a_live_id_in_another_case_is_named(self, folder, more):
        submission(folder, "ann", more.rename({IDS[0]: IDS[0].upper()}))
        assert faults(folder) == [("ann", "id-mismatch")]

    def test_all_eras_of_a_tournament_are_not_too_many_rows(self, folder):
        frame = pd.read_csv(folder / "submissions/ann.csv")
        expected = digest(read_round(folder).round)
        rows = Limits().max_rows + 1
        eras = pa.array(np.arange(rows, dtype=np.int32) % 1000)
        ids = pa.DictionaryArray.from_arrays(eras, [f"v{number}" for number in range(1000)])
        ids = pa.chunked_array([ids.cast(pa.string()), pa.array(IDS)])
        values = np.concatenate([np.zeros(rows), frame["prediction"]])
        (folder / "submissions/ann.csv").unlink()
        table = pa.table({"id": ids, "prediction": values})
        pq.write_table(table, folder / "submissions/ann.parquet")
        assert digest(read_round(folder).round) == expected


def test_what_was_rounded_is_taken_from_files_and_packed_bounds_alike(folder):
    """Float64, float32 among float64, and one that is too far out."""
    rng = np.random.default_rng(8)
    near = {"wide": rng.random(60), "narrow": rng.random(60, np.float32), "far": rng.random(60)}
    near["wide"][3] = 1.0000000000000002
    near["narrow"][3] = np.float32(1.0000004)
    near["far"][3] = 1.0000004
    for user, values in near.items():
        table = pd.DataFrame({"id": IDS, "prediction": values})
        table.to_parquet(folder / f"submissions/{user}.parquet", index=False)
    stakes = folder / "stakes.csv"
    stakes.write_text(stakes.read_text() + "wide,1\nnarrow,1\nfar,1\n")
    pack_round(folder, folder.parent / "packed")
    for place in (folder, folder.parent / "packed"):
        found = read_round(place).round
        assert [(fault.user, fault.code) for fault in found.quarantined] == [
            ("far", "prediction-range")
        ]
        (note,) = found.notes
        assert note.startswith("2 submissions leave [0, 1] by rounding")
        row = copied(found.take(np.array([found.users.index("narrow")])))
        assert row.max() == np.float32(1.0000004)
    index = open_packed(folder.parent / "packed").index
    greatest = dict(zip(index.users, index.bounds[1], strict=True))
    assert greatest["narrow"] == np.float32(1.0000004)
    assert greatest["wide"] == 1.0000000000000002


class TestAStakeUnderAnotherName:
    @pytest.mark.parametrize("name", ["Ann", " ann", "a nn", "ann\u00a0", "ANN"])
    def test_whose_it_is_cannot_be_known(self, folder, name):
        (folder / "stakes.csv").write_text(f'user,stake\n"{name}",5\nbob,2\n')
        assert faults(folder) == [("ann", "stake-user")]
        (fault,) = read_round(folder).round.quarantined
        assert ascii(name) in fault.detail
        pack_round(folder, folder.parent / "packed")
        assert faults(folder.parent / "packed") == [("ann", "stake-user")]
        with pytest.raises(RoundError, match="stake-user"):
            read_round(folder, on_error="fail")

    def test_both_may_have_submissions(self, folder):
        shutil.copy(folder / "submissions/cyd.csv", folder / "submissions/Ann.csv")
        (folder / "stakes.csv").write_text("user,stake\nAnn,5\nbob,2\n")
        assert faults(folder) == []

    @pytest.mark.parametrize("line", ["Ann,0", "anna,5", "ann_,5", "an,5"])
    def test_no_stake_and_other_names_concern_nobody(self, folder, line):
        (folder / "stakes.csv").write_text(f"user,stake\nbob,2\n{line}\n")
        assert faults(folder) == []

    def test_a_stake_of_ones_own_does_not_settle_it(self, folder):
        (folder / "stakes.csv").write_text("user,stake\nann,1\nAnn,5\nbob,2\n")
        assert faults(folder) == [("ann", "stake-user")]

    def test_nor_that_it_is_faulty(self, folder):
        (folder / "stakes.csv").write_text("user,stake\nAnn,-5\nbob,2\n")
        assert faults(folder) == [("ann", "stake-user")]
