"""Packed rounds: the bits of the round they were made of, and what befalls them on disk.

Long, because one packed round serves all of it.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from systems import copied, posix

import mmc_gpu
from mmc_gpu.__main__ import main
from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.ahead import ahead
from mmc_gpu.errors import RoundError
from mmc_gpu.files.results.verify import verify_result
from mmc_gpu.files.rounds import packed_matrix, wide_file
from mmc_gpu.files.rounds.folder import RoundFolder
from mmc_gpu.files.rounds.packed import open_packed
from mmc_gpu.files.rounds.packed_writer import PackedWriter
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.writing.spool import DrawsOnDisk
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round
from mmc_gpu.rounds.scoring import score

USERS, FEW, STOCKS = 90, 12, 150


@pytest.fixture(scope="module")
def sample():
    return make_sample_round(USERS, STOCKS, seed=2)


@pytest.fixture(scope="module")
def wide(tmp_path_factory, sample):
    """A round with one wide Parquet file; not to be changed."""
    folder = tmp_path_factory.mktemp("wide")
    write_sample_round(folder, sample)
    return folder


@pytest.fixture(scope="module")
def few():
    return make_sample_round(FEW, STOCKS, seed=3)


@pytest.fixture
def folder(tmp_path, few):
    """A round with one CSV a user, to be changed at will."""
    write_sample_round(tmp_path / "round", few, submissions=True)
    return tmp_path / "round"


def submit(folder, user, ids, predictions):
    lines = [f"{id_},{value!r}\n" for id_, value in zip(ids, predictions.tolist(), strict=True)]
    (folder / f"submissions/{user}.csv").write_text("id,prediction\n" + "".join(lines))


def digest(folder, **options):
    return score(read_round(folder).round, Method(), load_engine("numpy"), **options).digest


@pytest.fixture(scope="module")
def made(tmp_path_factory, wide):
    """The wide file, packed, and its digest; not to be changed."""
    packed = tmp_path_factory.mktemp("made") / "packed"
    pack_round(wide, packed)
    return packed, digest(wide)


@pytest.fixture
def packed(tmp_path, made):
    """A copy of the packed round, to be changed at will."""
    return shutil.copytree(made[0], tmp_path / "packed")


def matrix_file(packed):
    return max(packed.glob("predictions-*.npy"), key=lambda path: path.stat().st_size)


class TestTheSameBits:
    def test_of_a_wide_file(self, made):
        packed, expected = made
        assert digest(packed) == expected

    def test_of_a_folder_of_submissions(self, tmp_path, sample, made):
        write_sample_round(tmp_path / "round", sample, submissions=True)
        pack_round(tmp_path / "round", tmp_path / "packed")
        assert digest(tmp_path / "packed") == made[1]

    @pytest.mark.parametrize("rows", [1, 7, 64, 1000])
    def test_for_any_block(self, made, rows):
        packed, expected = made
        assert digest(packed, block_rows=rows) == expected

    def test_on_every_engine(self, made, engine):
        packed, expected = made
        scores = score(read_round(packed).round, Method(), engine, block_rows=32)
        assert scores.digest == expected

    def test_and_the_notes_of_ties(self, packed, wide):
        notes = [
            [note for note in read_round(folder).round.notes if "different values" in note]
            for folder in (packed, wide)
        ]
        assert len(notes[0]) == 1
        assert notes[0] == notes[1]

    def test_from_python(self, made):
        packed, expected = made
        scores = mmc_gpu.score_round(mmc_gpu.open_round(packed), engine="numpy")
        assert scores.digest == expected

    def test_of_half_the_stocks_when_targets_come_for_half(self, packed, wide, tmp_path, sample):
        targets = pd.read_csv(wide / "targets.csv")
        kept = targets.sample(frac=0.9, random_state=1)
        half = tmp_path / "half"
        write_sample_round(half, sample)
        kept.to_csv(half / "targets.csv", index=False)
        pack_round(half, packed)
        assert digest(packed, block_rows=32) == digest(half)

    def test_the_matrix_opens_in_numpy(self, made):
        matrix = np.load(matrix_file(made[0]))
        assert matrix.dtype == np.float64
        assert matrix.shape[1] == STOCKS

    def test_float32_is_kept_where_every_value_survives(self, tmp_path, sample):
        narrow = tmp_path / "narrow"
        write_sample_round(narrow, sample)
        frame = pd.read_parquet(narrow / "predictions.parquet")
        numbers = [name for name in frame if name != "id"]
        frame[numbers[:60]] = frame[numbers[:60]].astype(np.float32).astype(np.float64)
        frame.to_parquet(narrow / "predictions.parquet", index=False)
        pack_round(narrow, tmp_path / "packed")
        packed = open_packed(tmp_path / "packed")
        assert sum(part.rows for part in packed.parts if part.dtype == np.float32) >= 60
        assert digest(tmp_path / "packed") == digest(narrow)


class TestAWideFileOnDisk:
    def test_that_changes_while_it_is_scored_is_refused(self, tmp_path, sample, monkeypatch):
        write_sample_round(tmp_path / "round", sample)
        monkeypatch.setattr(wide_file, "_CHUNK_BYTES", 8 * STOCKS * 10)  # ten users a chunk
        rows = wide_file.as_rows

        def touched(table):
            os.utime(tmp_path / "round/predictions.parquet")
            return rows(table)

        monkeypatch.setattr(wide_file, "as_rows", touched)
        with pytest.raises(RoundError, match="changed while it was read"):
            read_round(tmp_path / "round")

    def test_becomes_one_matrix_where_all_columns_are_floats_of_one_type(self, tmp_path, sample):
        write_sample_round(tmp_path / "round", sample)
        file = tmp_path / "round/predictions.parquet"
        table = pq.read_table(file)
        gap = pa.array([None, *table.column(5).to_pylist()[1:]])
        gaps = table.set_column(5, table.column_names[5], gap)
        pq.write_table(gaps, file, row_group_size=60)
        matrix = wide_file.WideFile(RoundFolder(tmp_path / "round")).matrix()
        expected = sample.predictions.copy()
        expected[4, 0] = np.nan
        np.testing.assert_array_equal(matrix, expected, strict=True)
        narrow = gaps.set_column(5, table.column_names[5], gap.cast(pa.float32()))
        pq.write_table(narrow, file)
        assert wide_file.WideFile(RoundFolder(tmp_path / "round")).matrix() is None

    def test_that_changes_while_it_is_packed_is_refused(self, tmp_path, sample, monkeypatch):
        write_sample_round(tmp_path / "round", sample)
        monkeypatch.setattr(wide_file, "_CHUNK_BYTES", 8 * STOCKS * 10)  # ten users a chunk
        column = wide_file.WideFile.column

        def touched(self, place):
            if place == 5:
                os.utime(tmp_path / "round/predictions.parquet")
            return column(self, place)

        monkeypatch.setattr(wide_file.WideFile, "column", touched)
        with pytest.raises(RoundError, match="changed while it was read"):
            pack_round(tmp_path / "round", tmp_path / "packed")
        assert not (tmp_path / "packed/manifest.json").exists()

    def test_that_is_damaged_is_refused(self, tmp_path, sample):
        write_sample_round(tmp_path / "round", sample)
        file = tmp_path / "round/predictions.parquet"
        os.truncate(file, file.stat().st_size // 2)
        with pytest.raises(RoundError, match="file-damaged"):
            pack_round(tmp_path / "round", tmp_path / "packed")


class TestAdding:
    def test_nothing_new_writes_no_matrix(self, wide, packed):
        before = sorted(path.name for path in packed.iterdir())
        assert pack_round(wide, packed)[:2] == (0, USERS)
        assert sorted(path.name for path in packed.iterdir()) == before

    def test_new_changed_and_mended_submissions(self, folder, tmp_path, few):
        packed = tmp_path / "packed"
        bad, new, changed = few.users[:3]
        late = folder / f"submissions/{new}.csv"
        text = late.read_text()
        late.unlink()
        mended = (folder / f"submissions/{bad}.csv").read_text()
        (folder / f"submissions/{bad}.csv").write_text("id;prediction\nx;1\n")
        packing = pack_round(folder, packed)
        assert [fault.user for fault in packing.quarantined] == [bad]
        assert packing.added == FEW - 2
        untouched = matrix_file(packed).read_bytes()
        assert [q.user for q in read_round(packed).round.quarantined] == [bad]

        late.write_text(text)
        (folder / f"submissions/{bad}.csv").write_text(mended)
        submit(folder, changed, few.ids, few.predictions[2][::-1])
        packing = pack_round(folder, packed)
        assert packing == (3, FEW - 3, (), ())
        assert untouched in [path.read_bytes() for path in packed.glob("*.npy")]
        assert digest(packed) == digest(folder)

    def test_targets_may_come_later(self, folder, tmp_path, few):
        targets = (folder / "targets.csv").read_bytes()
        (folder / "targets.csv").unlink()
        pd.DataFrame({"id": few.ids}).to_csv(folder / "ids.csv", index=False)
        packed = tmp_path / "packed"
        pack_round(folder, packed)
        with pytest.raises(RoundError, match="without targets"):
            read_round(packed)
        (folder / "targets.csv").write_bytes(targets)
        assert pack_round(folder, packed).added == 0
        (folder / "ids.csv").unlink()
        assert digest(packed) == digest(folder)

    def test_stakes_may_change(self, folder, tmp_path):
        packed = tmp_path / "packed"
        pack_round(folder, packed)
        stakes = pd.read_csv(folder / "stakes.csv")
        stakes["stake"] = stakes["stake"].to_numpy()[::-1]
        stakes.to_csv(folder / "stakes.csv", index=False)
        pack_round(folder, packed)
        assert digest(packed) == digest(folder)

    def test_verify_and_a_second_run_tell_which_table_changed(self, folder, tmp_path):
        packed, result = tmp_path / "packed", tmp_path / "result"
        pack_round(folder, packed)
        run = Run(Method(draws=4), load_engine("numpy"))
        run.score(packed, result)
        assert run.is_finished(packed, result)
        assert verify_result(result, packed, "numpy").differences == []
        stakes = pd.read_csv(folder / "stakes.csv")
        stakes["stake"] = stakes["stake"].to_numpy()[::-1]
        stakes.to_csv(folder / "stakes.csv", index=False)
        pack_round(folder, packed)
        assert not run.is_finished(packed, result)
        differences = verify_result(result, packed, "numpy").differences
        inputs = [line for line in differences if "input" in line or "since" in line]
        assert [line.split("-")[0].split(":")[0] for line in inputs] == [
            "manifest.json",
            "stakes",
            "stakes",
        ]

    def test_a_damaged_table_is_no_finished_round(self, packed, tmp_path):
        run = Run(Method(draws=4), load_engine("numpy"))
        run.score(packed, tmp_path / "result")
        (table,) = packed.glob("targets-*.parquet")
        table.write_bytes(table.read_bytes()[:-1] + b"?")
        with pytest.raises(RoundError, match=table.name):
            run.is_finished(packed, tmp_path / "result")

    def test_faulty_stakes_keep_their_faults(self, folder, tmp_path, few):
        with (folder / "stakes.csv").open("a") as file:
            file.write(f"{few.users[0]},-1\n")
        expected = read_round(folder).round.quarantined
        pack_round(folder, tmp_path / "packed")
        found = read_round(tmp_path / "packed").round.quarantined
        assert [q[:2] for q in found] == [q[:2] for q in expected]

    def test_filling_is_decided_when_it_is_packed(self, folder, tmp_path, few):
        assert pack_round(folder, tmp_path / "packed", missing="fill").added == FEW  # as they are
        submit(folder, few.users[0], few.ids[3:], few.predictions[0][3:])
        assert pack_round(folder, tmp_path / "packed", missing="fill").added == 1
        round_ = read_round(tmp_path / "packed").round
        assert round_.filled[round_.users.index(few.users[0])] == 3
        assert (
            digest(tmp_path / "packed")
            == score(
                read_round(folder, missing="fill").round, Method(), load_engine("numpy")
            ).digest
        )

    @pytest.mark.parametrize("option", [{"missing": "fill"}, {"tournament": "crypto"}])
    def test_what_was_decided_then_is_said_where_it_is_asked_for(self, folder, tmp_path, option):
        pack_round(folder, tmp_path / "packed")
        ((name, value),) = option.items()
        note = f"{name}={value!r} does nothing here: packing a round decides it"
        assert note in read_round(tmp_path / "packed", **option).round.notes
        with pytest.raises(ValueError, match=f"{name} must be "):
            read_round(tmp_path / "packed", **{name: "nonsense"})

    def test_other_files_are_never_touched(self, wide, tmp_path):
        (tmp_path / "thesis.txt").write_text("irreplaceable")
        with pytest.raises(RoundError, match="output-foreign"):
            pack_round(wide, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


class TestDamage:
    def code_and_words(self, packed):
        with pytest.raises(RoundError) as caught:
            digest(packed, block_rows=16)
        return caught.value.code, str(caught.value)

    @pytest.mark.parametrize("place", [0.0, 0.3, 0.99])
    def test_a_flipped_bit_names_file_row_and_user(self, packed, place, sample):
        file = matrix_file(packed)
        data = bytearray(file.read_bytes())
        data[128 + int(place * (len(data) - 128))] ^= 1
        file.write_bytes(data)
        code, words = self.code_and_words(packed)
        assert code == "file-damaged"
        assert file.name in words
        assert any(user in words for user in sample.users)

    def test_a_row_is_hashed_again_only_where_its_file_has_changed(self, packed, monkeypatch):
        matrix = open_packed(packed).submissions().matrix
        rows = matrix[:]
        with monkeypatch.context() as patched:
            patched.setattr(packed_matrix, "hashlib", None)
            np.testing.assert_array_equal(matrix[:], rows)
        file = matrix_file(packed)
        data = bytearray(file.read_bytes())
        data[200] ^= 1
        file.write_bytes(data)
        with pytest.raises(RoundError, match="sha256"):
            matrix[:]

    def test_a_truncated_matrix_is_refused_when_it_is_opened(self, packed):
        file = matrix_file(packed)
        os.truncate(file, file.stat().st_size - 1)
        assert self.code_and_words(packed)[0] == "file-damaged"

    def test_a_matrix_that_shrinks_while_it_is_read_is_an_error(self, packed):
        round_ = read_round(packed).round
        os.truncate(matrix_file(packed), 128 + 5 * STOCKS * 8)
        with pytest.raises(RoundError, match=r"ends in row .*file-damaged"):
            score(round_, Method(), load_engine("numpy"), block_rows=16)

    @pytest.mark.parametrize(
        "pattern", ["rows-*", "ids-*", "stakes-*", "targets-*", "quarantine-*"]
    )
    def test_a_changed_table_is_refused(self, packed, pattern):
        (file,) = packed.glob(pattern)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        code, words = self.code_and_words(packed)
        assert code == "file-damaged"
        assert file.name in words

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "mmc_gpu packed 9"}'])
    def test_a_broken_manifest_is_refused(self, packed, text):
        (packed / "manifest.json").write_text(text)
        assert self.code_and_words(packed)[0] == "file-damaged"

    @pytest.mark.parametrize("wrong", [None, [], {}, -1, 10**30, "x\0", "\ud800", float("inf")])
    def test_a_manifest_with_a_wrong_field_is_refused(self, packed, wrong):
        path = packed / "manifest.json"
        manifest = json.loads(path.read_text())
        (part,) = manifest["parts"]
        for of, name in (
            *((manifest, name) for name in ("schema", "stocks", "tables")),
            *((part, name) for name in ("matrix", "rows", "dtype", "index", "piece")),
            *((manifest["tables"], name) for name in ("ids", "stakes", "quarantine")),
        ):
            right = of[name]
            of[name] = wrong
            path.write_text(json.dumps(manifest))
            of[name] = right
            code, words = self.code_and_words(packed)
            assert code == "file-damaged", name
            words.encode()

    def test_a_manifest_that_is_too_deep_is_refused(self, packed):
        (packed / "manifest.json").write_text("[" * 100_000)
        assert self.code_and_words(packed)[0] == "file-damaged"

    def test_an_index_of_another_version_is_refused(self, packed):
        manifest = json.loads((packed / "manifest.json").read_text())
        (name,) = (part["index"] for part in manifest["parts"])
        table = pd.read_parquet(packed / name).drop(columns="different")
        table.to_parquet(packed / name)
        data = (packed / name).read_bytes()
        manifest["files"][name] = hashlib.sha256(data).hexdigest()
        (packed / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(RoundError, match="has no different"):
            open_packed(packed)

    def test_a_manifest_cannot_name_files_elsewhere(self, packed):
        manifest = json.loads((packed / "manifest.json").read_text())
        manifest["tables"]["ids"] = "../ids.parquet"
        (packed / "manifest.json").write_text(json.dumps(manifest))
        assert self.code_and_words(packed)[0] == "file-damaged"


def test_killed_at_any_step_the_round_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    """A kill leaves what lies on the disk at that moment: a copy of it, taken before each step."""
    sample = make_sample_round(9, 40, seed=2)
    folder, packed = tmp_path / "round", tmp_path / "packed"
    write_sample_round(folder, sample, submissions=True)
    late = folder / f"submissions/{sample.users[0]}.csv"
    late.rename(tmp_path / "late")
    pack_round(folder, packed)
    old = digest(packed)
    (tmp_path / "late").rename(late)
    stakes = pd.read_csv(folder / "stakes.csv")
    stakes.assign(stake=stakes["stake"] * 2).to_csv(folder / "stakes.csv", index=False)
    new = digest(folder)
    left = []

    def stepwise(owner, name):
        function = getattr(owner, name)

        def step(*arguments, **options):
            left.append(shutil.copytree(packed, tmp_path / f"left {len(left)}"))
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, step)

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (PackedWriter, "add")):
        stepwise(owner, name)
    pack_round(folder, packed)
    monkeypatch.undo()
    assert digest(packed) == new
    ends = [digest(one) for one in left]
    assert len(ends) > 9
    assert ends == [old] * ends.count(old) + [new] * ends.count(new)
    assert ends[0] == old
    for one in left[::3]:  # whatever lies there, the next call ends in the new round
        pack_round(folder, one)
        assert digest(one) == new


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small file system to be had: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_the_packed_round_as_it_was(folder, small_disk, few):
    first, *others = (folder / "submissions").iterdir()
    for path in others:
        path.unlink()
    packed = small_disk / "packed"
    (folder / "stakes.csv").write_text(f"user,stake\n{first.stem},1\n")
    pack_round(folder, packed)
    before = digest(packed)
    rng = np.random.default_rng(0)
    for number in range(200):
        submit(folder, f"new_{number}", few.ids, rng.random(STOCKS))
    with pytest.raises(RoundError, match="output-failed"):
        pack_round(folder, packed)
    assert digest(packed) == before


class TestDrawsOnDisk:
    @posix
    def test_hold_what_was_written(self, tmp_path):
        store = DrawsOnDisk(tmp_path, (2, 5, 3))
        rows = np.arange(6.0).reshape(2, 3)
        store[1, np.array([4, 0])] = rows
        np.testing.assert_array_equal(store[1, np.array([0, 4])], rows[::-1])
        assert list(tmp_path.iterdir()) == []

    def test_are_written_like_those_in_memory(self, wide, packed, tmp_path):
        run = Run(Method(draws=4), load_engine("numpy"), save_draws=True)
        run.score(wide, tmp_path / "memory")
        run.score(packed, tmp_path / "disk")
        one, other = (pd.read_parquet(tmp_path / f"{x}/draws.parquet") for x in ("memory", "disk"))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_memory_bounds_the_blocks(packed):
    round_ = read_round(packed).round
    group = 1024 * STOCKS * 8
    assert round_.rows_within(6 * group) == 2048
    with pytest.raises(ValueError, match="at least"):
        round_.rows_within(2 * group)


def test_reading_ahead_keeps_order_and_raises_where_it_is_used():
    def items():
        yield from range(5)
        raise RoundError("file-damaged", "x")

    fetched = ahead(items())
    assert [next(fetched) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(RoundError):
        next(fetched)


class TestManyRounds:
    @pytest.fixture
    def rounds(self, tmp_path):
        folders = [tmp_path / f"rounds/r{number}" for number in range(3)]
        for number, folder in enumerate(folders):
            write_sample_round(folder, make_sample_round(20, 100, seed=number))
        return folders

    @pytest.fixture
    def score(self, run):
        return lambda *arguments: run("score", "--engine", "numpy", *arguments)

    def test_finished_rounds_are_not_scored_again(self, score, rounds, tmp_path):
        out = tmp_path / "out"
        assert score(*rounds, "-o", out)[0] == 0
        receipts = [(out / r.name / "receipt.json").stat().st_mtime_ns for r in rounds]
        table = out / "r1/scores.parquet"
        table.write_bytes(table.read_bytes() + b" ")  # a receipt is checked, not trusted
        table = pd.read_csv(rounds[2] / "stakes.csv")
        table.assign(stake=table["stake"] + 1).to_csv(rounds[2] / "stakes.csv", index=False)
        code, _, said = score(*rounds, "-o", out)
        assert code == 0
        assert said.count("finished before") == 1
        now = [(out / r.name / "receipt.json").stat().st_mtime_ns for r in rounds]
        assert [a == b for a, b in zip(receipts, now, strict=True)] == [True, False, False]

    def test_other_options_score_again(self, score, rounds, tmp_path):
        score(rounds[0], rounds[1], "-o", tmp_path / "out")
        again = score(rounds[0], rounds[1], "-o", tmp_path / "out", "--draws", "3")
        assert "finished before" not in again[2]

    def test_a_bad_round_does_not_stop_the_others(self, score, rounds, tmp_path):
        (rounds[0] / "stakes.csv").unlink()
        code, out, said = score(*rounds, "-o", tmp_path / "out")
        assert code == 1
        assert "r0: failed: " in said
        assert "2 scored, 1 failed" in out
        assert (tmp_path / "out/r2/scores.parquet").is_file()

    def test_several_rounds_need_a_folder_and_names_of_their_own(self, score, rounds):
        assert score(*rounds)[0] == 2
        assert score(rounds[0], rounds[0], "-o", "x")[0] == 2

    @posix
    def test_control_c_ends_cleanly_and_says_how_to_go_on(self, score, rounds, tmp_path):
        out, said = tmp_path / "out", tmp_path / "said"
        stakes = RoundFolder.stakes

        def stopped(folder):
            if folder.folder.name == "r1":
                signal.raise_signal(signal.SIGINT)
            return stakes(folder)

        def work():
            signal.signal(signal.SIGINT, signal.default_int_handler)
            RoundFolder.stakes = stopped
            sys.argv = ["mmc-gpu", "score", *map(str, rounds), "-o", str(out), "--engine", "numpy"]
            with said.open("w") as sys.stderr:
                main()

        _, status = os.waitpid(copied(work), 0)
        assert os.waitstatus_to_exitcode(status) == 130
        err = said.read_text()
        assert "the same command again goes on with the 2 rounds left" in err
        assert "Traceback" not in err
        assert (out / "r0/receipt.json").is_file()
        assert score(*rounds, "-o", out)[2].count("finished before") == 1
