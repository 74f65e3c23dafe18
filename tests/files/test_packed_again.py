"""Packing again: two at once, faulty and withdrawn submissions, and what the folder would say.

Long, because the folder and the packed round are compared fault by fault.
"""

import csv
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from systems import copied, posix

import mmc_gpu
from mmc_gpu.cli.app import app
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files import system
from mmc_gpu.files.results.rounds import read_result
from mmc_gpu.files.results.verify import verify_result
from mmc_gpu.files.rounds.packed import open_packed
from mmc_gpu.files.rounds.packed_writer import PackedWriter
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score

IDS = [f"n{number:03d}" for number in range(40)]
USERS = ["ann", "bob", "carl", "dora"]


def predictions(seed, narrow=False):
    """Return predictions; narrow ones fit into float32."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 257, len(IDS)) / 256 if narrow else rng.random(len(IDS))


def submit(folder, user, values, suffix="csv"):
    path = folder / f"submissions/{user}.{suffix}"
    if suffix == "csv":
        texts = ["" if value != value else repr(value) for value in values.tolist()]
        path.write_text("id,prediction\n" + "".join(map("{},{}\n".format, IDS, texts)))
    else:
        pq.write_table(pa.table({"id": IDS, "prediction": values}), path)


def stake(folder, *lines):
    (folder / "stakes.csv").write_text("\n".join(["user,stake", *lines, ""]))


def make_folder(folder, users=USERS, narrow=False, target="target"):
    (folder / "submissions").mkdir(parents=True)
    targets = pd.DataFrame({"id": IDS, target: predictions(99)})
    targets.to_csv(folder / "targets.csv", index=False)
    stake(folder, "ann,1", "bob,2", "carl,3")
    for number, user in enumerate(users):
        submit(folder, user, predictions(number, narrow))
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "round")


@pytest.fixture
def packed(folder, tmp_path):
    pack_round(folder, tmp_path / "packed")
    return tmp_path / "packed"


def digest(folder):
    return score(read_round(folder).round, Method(draws=4), load_engine("numpy")).digest


def left_out(quarantined):
    return sorted((fault.user, fault.code) for fault in quarantined)


def users_of(packed):
    return sorted(open_packed(packed).index.users)


class TestTwoAtOnce:
    @pytest.fixture
    def start(self):
        """Start a packing in a process of its own; return that when it holds the lock."""
        started, add = [], PackedWriter.add

        def start_(folder, packed, seconds):
            there, here = os.pipe()

            def slow(self, batch):
                add(self, batch)
                os.write(here, b"working")
                time.sleep(seconds)

            def work():
                PackedWriter.add = slow
                pack_round(folder, packed)

            started.append(copied(work))
            os.close(here)
            assert os.read(there, 7) == b"working"
            os.close(there)
            return started[-1]

        yield start_
        for process in started:
            with suppress(ChildProcessError):  # it has ended, as it should
                if not os.waitpid(process, os.WNOHANG)[0]:
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)

    @posix
    def test_the_second_adds_to_what_the_first_has_added(self, packed, tmp_path, run, start):
        many = make_folder(tmp_path / "many", ["eve", "fred"])
        one = make_folder(tmp_path / "one", ["gus"], narrow=True)
        first = start(many, packed, 0.5)
        assert run("pack", one, "-o", packed)[0] == 0
        assert os.waitpid(first, 0)[1] == 0
        assert users_of(packed) == [*USERS, "eve", "fred", "gus"]
        assert score(read_round(packed).round, Method(), load_engine("numpy")).digest

    @posix
    def test_the_second_of_one_folder_waits_and_finds_nothing_new(self, folder, tmp_path, start):
        packed = tmp_path / "packed"
        first = start(folder, packed, 0.5)
        packing = pack_round(folder, packed)
        assert os.waitpid(first, 0)[1] == 0
        assert packing == (0, len(USERS), (), ())
        assert digest(packed) == digest(folder)

    def test_two_threads_take_turns(self, folder, tmp_path):
        with ThreadPoolExecutor(4) as pool:
            added = list(pool.map(lambda _: pack_round(folder, tmp_path / "packed")[0], range(4)))
        assert sorted(added) == [0, 0, 0, len(USERS)]

    @posix
    def test_who_waits_goes_on_when_the_other_is_killed(self, folder, tmp_path, start):
        first = start(folder, tmp_path / "packed", 600)
        second = copied(lambda: app(["pack", str(folder), "-o", str(tmp_path / "packed")]))
        time.sleep(0.5)
        assert os.waitpid(second, os.WNOHANG) == (0, 0)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        assert os.waitpid(second, 0)[1] == 0
        assert digest(tmp_path / "packed") == digest(folder)

    @posix
    def test_what_a_killed_one_has_left_blocks_nobody_and_is_gone(self, folder, tmp_path, start):
        packed = tmp_path / "packed"
        first = start(folder, packed, 600)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        (packed / ".lock").touch()  # as versions before 0.2 left it
        assert pack_round(folder, packed).added == len(USERS)
        assert not [path.name for path in packed.iterdir() if path.name.startswith(".")]

    def test_no_lock_is_left_in_a_foreign_folder(self, folder, tmp_path):
        with pytest.raises(RoundError, match="output-foreign"):
            pack_round(folder, tmp_path)
        assert not (tmp_path / ".lock").exists()

    def test_a_disk_without_locks_is_an_error(self, folder, packed, monkeypatch):
        def unable(*arguments, **options):
            raise OSError(37, "No locks available")

        before = digest(packed)
        if system.fcntl is None:
            monkeypatch.setattr("filelock.FileLock.acquire", unable)
        else:
            monkeypatch.setattr(system.fcntl, "flock", unable)
        with pytest.raises(RoundError, match=r"No locks available.*output-failed"):
            pack_round(folder, packed)
        assert digest(packed) == before


class TestAFaultyResubmission:
    FAULTS: ClassVar = {
        "constant": "id,prediction\n" + "".join(f"{id_},0.5\n" for id_ in IDS),
        "text": "id,prediction\n" + "".join(f"{id_},x\n" for id_ in IDS),
        "empty": "",
        "another round's": "id,prediction\n" + "".join(f"x{id_},0.{id_[1:]}\n" for id_ in IDS),
    }

    @pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS)
    @pytest.mark.parametrize("user", ["ann", "dora"])
    def test_is_left_out_as_the_folder_leaves_it_out(self, folder, packed, text, user):
        (folder / f"submissions/{user}.csv").write_text(text)
        packing = pack_round(folder, packed)
        expected = read_round(folder).round.quarantined
        assert [q.user for q in expected] == [user]
        assert packing.quarantined == expected
        assert read_round(packed).round.quarantined == expected
        assert digest(packed) == digest(folder)
        with pytest.raises(RoundError, match=expected[0].code):
            read_round(packed, on_error="fail")

    @pytest.mark.parametrize("user", ["ann", "b\u00f8b"])
    def test_two_files_of_one_user_leave_out_the_packed_row(self, folder, packed, user):
        submit(folder, user, predictions(7))
        pack_round(folder, packed)
        submit(folder, user, predictions(8), "parquet")
        packing = pack_round(folder, packed)
        expected = read_round(folder).round.quarantined
        assert left_out(expected) == [(user, "user-duplicate")]
        assert packing.quarantined == read_round(packed).round.quarantined == expected
        assert digest(packed) == digest(folder)

    def test_is_in_again_when_it_is_mended_or_taken_back(self, folder, packed):
        good = (folder / "submissions/ann.csv").read_text()
        for mended, added in ((predictions(50), 1), (None, 0)):
            (folder / "submissions/ann.csv").write_text("")
            assert left_out(pack_round(folder, packed).quarantined) == [("ann", "file-empty")]
            if mended is None:
                (folder / "submissions/ann.csv").write_text(good)
            else:
                submit(folder, "ann", mended)
                good = (folder / "submissions/ann.csv").read_text()
            assert pack_round(folder, packed) == (added, 4 - added, (), ())
            assert digest(packed) == digest(folder)

    @posix
    def test_of_a_faulty_name_concerns_nobody_else(self, folder, tmp_path):
        submit(folder, "a\\x00b", predictions(7))
        path = folder / "submissions/a\x01b.csv"
        path.write_text("id,prediction\n")
        packed = tmp_path / "packed"
        pack_round(folder, packed)
        assert "a\\x00b" in read_round(packed).round.users
        assert digest(packed) == digest(folder)

    def test_and_its_stake_is_no_strays(self, folder, packed):
        (folder / "submissions/ann.csv").write_text("")
        submit(folder, "eve", np.full(len(IDS), 0.5))
        stake(folder, "ann,1", "bob,2", "carl,3", "eve,4")
        pack_round(folder, packed)
        assert read_round(packed).round.notes == read_round(folder).round.notes


class TestASubmissionThatIsGone:
    def test_stays_and_is_said(self, folder, packed):
        (folder / "submissions/bob.csv").unlink()
        packing = pack_round(folder, packed)
        assert packing[:3] == (0, 3, ())
        assert len(packing.notes) == 1
        assert packing.notes[0].startswith("1 submission is gone from the folder")
        assert "--prune" in packing.notes[0]
        assert packing.notes[0].endswith("'bob'")
        assert "bob" in read_round(packed).round.users

    def test_is_withdrawn_and_can_come_back(self, folder, packed):
        text = (folder / "submissions/bob.csv").read_text()
        (folder / "submissions/bob.csv").unlink()
        packing = pack_round(folder, packed, prune=True)
        assert "withdrawn" in packing.notes[0]
        for _ in range(2):
            assert digest(packed) == digest(folder)
            assert pack_round(folder, packed) == (0, 3, (), ())
        (folder / "submissions/bob.csv").write_text(text)
        assert pack_round(folder, packed) == (1, 3, (), ())
        assert digest(packed) == digest(folder)

    def test_of_the_quarantine_too(self, folder, packed):
        (folder / "submissions/bob.csv").write_text("")
        submit(folder, "eve", np.full(len(IDS), 0.5))
        pack_round(folder, packed)
        for user in ("bob", "eve"):
            (folder / f"submissions/{user}.csv").unlink()
        kept = pack_round(folder, packed)
        assert left_out(kept.quarantined) == [("bob", "file-empty"), ("eve", "prediction-constant")]
        assert kept.notes[0].startswith("2 submissions are gone")
        assert pack_round(folder, packed, prune=True).quarantined == ()
        assert digest(packed) == digest(folder)

    def test_by_command(self, folder, packed, capsys):
        (folder / "submissions/bob.csv").unlink()
        for options, word in (([], "stay in the packed round"), (["--prune"], "withdrawn")):
            with pytest.raises(SystemExit) as ended:
                app(["pack", str(folder), "-o", str(packed), *options])
            assert ended.value.code == 0
            assert word in capsys.readouterr().err
        assert users_of(packed) == ["ann", "carl", "dora"]

    def test_a_column_of_a_wide_file(self, tmp_path):
        folder = make_folder(tmp_path / "wide", [])
        (folder / "submissions").rmdir()
        frame = pd.DataFrame({"id": IDS} | {u: predictions(n) for n, u in enumerate(USERS)})
        frame.to_parquet(folder / "predictions.parquet")
        packed = tmp_path / "packed"
        pack_round(folder, packed)
        frame.drop(columns="ann").to_parquet(folder / "predictions.parquet")
        assert pack_round(folder, packed).notes[0].endswith("'ann'")
        pack_round(folder, packed, prune=True)
        assert digest(packed) == digest(folder)

    def test_all_of_them(self, folder, packed):
        for path in (folder / "submissions").iterdir():
            path.unlink()
        packing = pack_round(folder, packed, prune=True)
        assert any("cannot be scored yet" in note for note in packing.notes)
        with pytest.raises(RoundError, match="no submission"):
            read_round(packed)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("withdrawn", [1]), ("withdrawn", 3), ("withdrawn", [["ann"]]), ("universe", 3)],
    )
    def test_a_broken_list_is_refused(self, packed, name, value):
        manifest = json.loads((packed / "manifest.json").read_text())
        (packed / "manifest.json").write_text(json.dumps(manifest | {name: value}))
        with pytest.raises(RoundError, match="file-damaged"):
            open_packed(packed)


@pytest.mark.parametrize("order", ["nw", "wwnn", "nnww", "wnwn", "bwnb"])
def test_parts_never_collide(tmp_path, order):
    """Packings that add only wide, only narrow, or both kinds of rows, one after another."""
    folder, packed = make_folder(tmp_path / "round", ["dora"]), tmp_path / "packed"
    parts = set()
    for number, kind in enumerate(order):
        for width in {"w": [False], "n": [True], "b": [False, True]}[kind]:
            submit(folder, f"ann{number}{width}", predictions(number, width))
        stake(folder, *(f"{path.stem},1" for path in (folder / "submissions").iterdir()))
        pack_round(folder, packed)
        now = {path.name: path.read_bytes() for path in packed.glob("predictions-*")}
        assert parts <= set(now.items())
        parts = set(now.items())
        assert digest(packed) == digest(folder)


def test_a_target_may_have_any_name(folder, tmp_path):
    names, packed = ["user", "code", "detail", "stake", "source", "=x"], tmp_path / "packed"
    targets = {name: predictions(seed) for seed, name in enumerate(names)}
    pd.DataFrame({"id": IDS} | targets).to_csv(folder / "targets.csv", index=False)
    for _ in range(2):
        pack_round(folder, packed)
        assert digest(packed) == digest(folder)
        assert list(read_round(packed).round.targets) == names


def test_a_target_without_a_name_means_the_same_to_both(tmp_path):
    folder, packed = make_folder(tmp_path / "round", target=""), tmp_path / "packed"

    def outcome(call):
        try:
            return call()
        except RoundError as error:
            return error.code

    expected = outcome(lambda: digest(folder))
    outcome(lambda: pack_round(folder, packed))
    assert outcome(lambda: digest(packed if packed.exists() else folder)) == expected


def test_a_target_named_like_the_ids_is_refused_everywhere(tmp_path):
    folder = make_folder(tmp_path / "round", target="ID")
    for call in (read_round, lambda folder: pack_round(folder, tmp_path / "packed")):
        with pytest.raises(RoundError, match="column-ambiguous"):
            call(folder)


@pytest.mark.parametrize("format_", ["csv", "parquet", "json"])
def test_users_who_look_like_formulas_are_read_back(tmp_path, format_):
    users = ["=x", "'=x", "''=x", "'x", "+1", "'+1", "-", "'@"]
    folder = make_folder(tmp_path / "round", users)
    stake(folder, "=x,1", "'=x,2")
    submit(folder, "'=bad", np.full(len(IDS), 0.5))
    result = tmp_path / "result"
    with pytest.raises(SystemExit) as ended:
        app(["score", str(folder), "-o", str(result), "--format", format_, "--report"])
    assert ended.value.code == 4
    scores, _ = read_result(result)
    assert sorted(scores.users) == sorted(users)
    assert [fault.user for fault in scores.quarantined] == ["'=bad"]
    assert verify_result(result, folder, "numpy").differences == []


def many_faults(folder):
    """Make a round with faults of many kinds, of submissions, names and stakes."""
    make_folder(folder, [*USERS, "erin", "fay", "gil", "b\u00f8b", "kim", "lou", "both", "text"])
    submissions = folder / "submissions"
    submit(folder, "ann", predictions(0), "parquet")  # two files of one user
    submit(folder, "b\u00f8b", predictions(0), "parquet")
    submit(folder, "constant", np.full(len(IDS), 0.25))
    submit(folder, "nan", np.where(np.arange(len(IDS)) == 3, np.nan, predictions(1)))
    submit(folder, "infinite", np.where(np.arange(len(IDS)) == 3, np.inf, predictions(1)))
    submit(folder, "far", predictions(5) * 3)  # staked, outside [0, 1]
    submit(folder, "far unstaked", predictions(5) * 3)
    submit(folder, "hidden\u200bname", predictions(6))
    submit(folder, "both", np.full(len(IDS), 0.25))  # and a faulty stake
    (submissions / "text.csv").write_text("id,prediction\n" + "".join(f"{i},x\n" for i in IDS))
    (submissions / "t\u00e9xt.csv").write_text("id,prediction\n" + "".join(f"{i},x\n" for i in IDS))
    (submissions / "empty.csv").write_text("")
    (submissions / "short.csv").write_text("id,prediction\nn000,0.5\n")
    (submissions / "semicolon.csv").write_text("id;prediction\nn000;0.5\n")
    (submissions / "pickle.pkl").write_bytes(b"\x80\x04N.")
    (submissions / "damaged.parquet").write_bytes(b"PAR1 and no more")
    (submissions / "link.csv").symlink_to(submissions / "ann.csv")
    stakes = ["far,1", "both,nan", "erin,-1", "fay,", "gil,1", "gil,2", "kim,1e300", "lou,inf"]
    stake(folder, "bob,1", "carl,2", *stakes, "nobody,-1", "someone,3")
    return folder


def quarantine_list(result):
    with (result / "quarantine.csv").open(newline="") as file:
        return sorted((row["user"], row["code"]) for row in csv.DictReader(file))


class TestTheSameUsersEverywhere:
    @pytest.mark.parametrize("blend", ["raw", "ranked"])
    @pytest.mark.parametrize("again", [False, True])
    def test_in_python(self, tmp_path, blend, again):
        packed = tmp_path / "packed"
        if again:  # everybody is packed already, from a round without a fault
            good = many_faults(tmp_path / "good")
            users = {q.user for q in read_round(good).round.quarantined} - {"far"}
            clean = make_folder(tmp_path / "clean", users - {"hidden\\u200bname"} | {"dora", "far"})
            pack_round(clean, packed)
        folder = many_faults(tmp_path / "round")
        packing = pack_round(folder, packed, blend=blend)
        expected = left_out(read_round(folder, blend=blend).round.quarantined)
        assert len(expected) > 19
        assert (("far", "prediction-range") in expected) == (blend == "raw")
        assert left_out(packing.quarantined) == expected
        assert left_out(read_round(packed, blend=blend).round.quarantined) == expected
        opened = mmc_gpu.open_round(packed, blend=blend, on_error="quarantine")
        assert left_out(opened.quarantined) == expected

    @pytest.mark.parametrize("missing", ["error", "fill"])
    def test_by_command(self, tmp_path, capsys, missing):
        folder, packed = many_faults(tmp_path / "round"), tmp_path / "packed"
        said = {}
        for command in (
            ["check", str(folder), "--missing", missing],
            ["score", str(folder), "-o", str(tmp_path / "one"), "--missing", missing],
            ["pack", str(folder), "-o", str(packed), "--missing", missing],
            ["check", str(packed)],
            ["score", str(packed), "-o", str(tmp_path / "two")],
        ):
            with pytest.raises(SystemExit) as ended:
                app(command)
            assert ended.value.code == 4
            lines = capsys.readouterr().err.splitlines()
            said[" ".join(command)] = sum(
                1 if line.startswith("quarantined:") else int(line.split()[2])
                for line in lines
                if line.startswith(("quarantined:", "... and"))
            )
        assert len(set(said.values())) == 1
        assert quarantine_list(tmp_path / "one") == quarantine_list(tmp_path / "two")
        assert len(quarantine_list(tmp_path / "one")) == set(said.values()).pop()

    @pytest.mark.parametrize("stakes", [["ann,-1"], ["ann,1", "bob,x"]])
    def test_a_faulty_stake_stops_a_packing_that_shall_fail(self, folder, packed, stakes):
        before = (packed / "manifest.json").read_bytes()
        stake(folder, "carl,3", *stakes)
        with pytest.raises(RoundError, match="stake-invalid"):
            pack_round(folder, packed, on_error="fail")
        assert (packed / "manifest.json").read_bytes() == before

    def test_a_stakers_range_stops_it_too(self, folder, packed):
        submit(folder, "dora", predictions(4) * 2)
        assert pack_round(folder, packed, on_error="fail").added == 1
        stake(folder, "ann,1", "dora,1")
        with pytest.raises(RoundError, match="prediction-range"):
            pack_round(folder, packed, on_error="fail")
        assert pack_round(folder, packed, on_error="fail", blend="ranked").unchanged == 4
