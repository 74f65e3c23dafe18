"""Row numbers, eras and columns without a name in a round's files, packed or not."""

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.files.rounds.packing import pack_round

RANDOM = np.random.default_rng(6)
COUNT = 40
IDS = [f"n{number:03}" for number in range(COUNT)]
TARGETS = pd.DataFrame({"id": IDS, "target": RANDOM.random(COUNT)})
PREDICTIONS = pd.DataFrame({"id": IDS, "ann": RANDOM.random(COUNT), "bob": RANDOM.random(COUNT)})
STAKES = {"ann": 1.0, "bob": 2.0}
NUMBERS = RANDOM.permutation(COUNT)
DIGEST = mmc_gpu.score_round(PREDICTIONS, STAKES, TARGETS, engine="numpy").digest


def write(frame, folder, stem, suffix):
    if suffix == ".csv":
        frame.to_csv(folder / f"{stem}.csv", index=frame.index.name != "none")
    else:
        frame.to_parquet(folder / f"{stem}.parquet", index=frame.index.name != "none")


@pytest.fixture(params=[".csv", ".parquet"])
def make(tmp_path, request):
    """Write a round whose files keep pandas' index, unless it is called "none"."""

    def made(targets=TARGETS, predictions=PREDICTIONS, stakes="user,stake\nann,1\nbob,2\n"):
        for frame, stem in ((targets, "targets"), (predictions, "predictions")):
            frame = frame.rename_axis("none") if isinstance(frame.index, pd.RangeIndex) else frame
            write(frame, tmp_path, stem, request.param)
        (tmp_path / "stakes.csv").write_text(stakes)
        return tmp_path

    return made


def scored(folder, **options):
    return mmc_gpu.score_round(mmc_gpu.open_round(folder, **options), engine="numpy")


@pytest.fixture(params=["folder", "packed"])
def score(request, tmp_path_factory):
    """Return scores of a round and the notes on it, as it lies or packed."""

    def both(folder, **options):
        if request.param == "folder":
            scores = scored(folder, **options)
            return scores, " ".join(scores.notes)
        packed = tmp_path_factory.mktemp("packed")
        notes = pack_round(folder, packed, **options).notes
        return scored(packed, **options), " ".join(notes)

    return both


def shuffled(frame, name=None):
    return frame.set_index(pd.Index(NUMBERS, name=name))


@pytest.mark.parametrize("name", [None, "X", "index", "...1"])
def test_row_numbers_in_both_files_change_nothing(make, score, name):
    scores, notes = score(make(shuffled(TARGETS, name), shuffled(PREDICTIONS, name)))
    assert (scores.users, scores.targets) == (["ann", "bob"], ["target"])
    assert scores.digest == DIGEST
    assert notes.count("ignored, since it stands beside the data") == 2


def test_rs_row_numbers_change_nothing(make, score):
    folder = make()
    for stem in ("targets", "predictions"):
        (folder / f"{stem}.parquet").unlink(missing_ok=True)
    for frame, stem in ((TARGETS, "targets"), (PREDICTIONS, "predictions")):
        numbered = frame.set_index(pd.Index([str(n + 1) for n in range(COUNT)]))
        numbered.to_csv(folder / f"{stem}.csv", quoting=2)
    scores, notes = score(folder)
    assert scores.digest == DIGEST
    assert notes.count("'' (row numbers)") == 2


def test_eras_types_and_dates_in_targets_are_not_scored(make, score):
    targets = TARGETS.assign(era="1100", data_type="live", friday="2024-01-05")
    scores, notes = score(make(targets[["era", "id", "friday", "target", "data_type"]]))
    assert (scores.targets, scores.digest) == (["target"], DIGEST)
    assert all(f"'{name}' (" in notes for name in ("era", "data_type", "friday"))


def test_ids_in_an_index_without_a_name_are_ids(make, score):
    files = (frame.set_index("id").rename_axis(None) for frame in (TARGETS, PREDICTIONS))
    assert score(make(*files))[0].digest == DIGEST


def test_ids_in_a_column_of_another_name_are_ids(make, score):
    files = (frame.rename(columns={"id": "stock"}) for frame in (TARGETS, PREDICTIONS))
    assert score(make(*files))[0].digest == DIGEST


def test_the_target_named_target_leads_in_files(make, score):
    targets = TARGETS.assign(days=RANDOM.integers(1, 9, COUNT))[["id", "days", "target"]]
    assert score(make(targets))[0].targets == ["target", "days"]


def test_a_user_whom_the_stakes_name_is_a_user(make, score):
    folder = make(predictions=PREDICTIONS.assign(cyd=NUMBERS))
    assert score(folder)[0].users == ["ann", "bob"]
    (folder / "stakes.csv").write_text("user,stake\nann,1\nbob,2\ncyd,0\n")
    assert "cyd" in score(folder)[0].users


def test_a_staker_of_row_numbers_has_a_fault(make, score):
    folder = make(predictions=PREDICTIONS.assign(cyd=NUMBERS))
    (folder / "stakes.csv").write_text("user,stake\nann,1\nbob,2\ncyd,3\n")
    scores, _ = score(folder, on_error="quarantine")
    assert [fault.user for fault in scores.quarantined] == ["cyd"]
    assert scores.digest == DIGEST


def test_row_numbers_of_stakes_are_no_users(make, score):
    scores, notes = score(make(stakes=",user,stake\n0,ann,1\n1,bob,2\n"))
    assert (scores.users, scores.digest) == (["ann", "bob"], DIGEST)
    assert notes.count("stakes.csv with further columns, which were ignored") == 1


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", ["id", None, "stock"])
def test_one_users_file_has_its_ids_in_the_index(tmp_path, suffix, name):
    (tmp_path / "submissions").mkdir()
    TARGETS.to_csv(tmp_path / "targets.csv", index=False)
    (tmp_path / "stakes.csv").write_text("user,stake\nann,1\nbob,2\n")
    for user in STAKES:
        frame = pd.DataFrame({"prediction": PREDICTIONS[user].to_numpy()}, index=IDS)
        write(frame.rename_axis(name), tmp_path / "submissions", user, suffix)
    assert scored(tmp_path).digest == DIGEST


def test_the_command_says_what_was_ignored_and_which_target_leads(make, run):
    folder = make(shuffled(TARGETS.assign(days=RANDOM.integers(1, 9, COUNT))))
    code, out, err = run("score", folder, "--engine", "numpy")
    assert code == 0
    assert "ranked by target; also scored (--target): days" in out
    assert "note: targets." in err
