"""What lies in a packed round's files, bit for bit, and which of it is read."""

import hashlib
import json
import os
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmc_gpu.engines import GROUP, load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files import system
from mmc_gpu.files.formats import places
from mmc_gpu.files.formats.places import OpenFile
from mmc_gpu.files.rounds import packed_matrix
from mmc_gpu.files.rounds.packed import open_packed
from mmc_gpu.files.rounds.packed_matrix import PackedMatrix
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds import scoring
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round
from mmc_gpu.rounds.scoring import score

STOCKS, PIECE = 40, 13
IDS = [f"n{number:03d}" for number in range(STOCKS)]


def write_round(folder, predictions, targets=None):
    """Write a round: predictions by user as one wide file, the first user staked with 1 NMR."""
    folder.mkdir(exist_ok=True)
    pd.DataFrame({"id": IDS, **predictions}).to_parquet(folder / "predictions.parquet", index=False)
    if targets is None:
        targets = pd.DataFrame({"id": IDS, "target": np.arange(STOCKS) % 5 / 4})
    targets.to_csv(folder / "targets.csv", index=False)
    stakes = pd.DataFrame({"user": list(predictions), "stake": 1.0})
    stakes[:1].to_csv(folder / "stakes.csv", index=False)
    return folder


@pytest.fixture
def close():
    """Predictions of three users, each value 2**-40 from the next: the same as float32."""
    steps = np.random.default_rng(5).permuted(np.tile(np.arange(STOCKS), (3, 1)), axis=1)
    rows = 0.5 + steps * 2.0**-40
    assert (rows.astype(np.float32) == np.float32(0.5)).all()
    return dict(zip(("ann", "bob", "cyd"), rows, strict=True))


def digest(folder):
    return score(read_round(folder).round, Method(draws=4), load_engine("numpy")).digest


def test_values_that_float32_cannot_tell_apart_are_packed_to_the_bit(tmp_path, close):
    folder, packed = write_round(tmp_path / "round", close), tmp_path / "packed"
    pack_round(folder, packed)
    submissions = open_packed(packed).submissions()
    assert submissions.matrix.dtype == np.float64
    for row, user in enumerate(submissions.users):
        assert submissions.matrix[row].tobytes() == close[user].tobytes()
    assert digest(packed) == digest(folder)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_row_that_numpy_loads_is_a_users(tmp_path, dtype):
    rows = np.random.default_rng(6).random((5, STOCKS))
    if dtype == np.float32:
        rows = rows.astype(np.float32)
    predictions = {f"user_{number}": row for number, row in enumerate(rows)}
    pack_round(write_round(tmp_path / "round", predictions), tmp_path / "packed")
    (part,) = open_packed(tmp_path / "packed").parts
    matrix = np.load(tmp_path / "packed" / part.file)
    assert matrix.dtype == dtype
    assert matrix.flags.c_contiguous
    (index,) = (tmp_path / "packed").glob("rows-*.parquet")
    for user, row in zip(pd.read_parquet(index)["user"], matrix, strict=True):
        assert row.tobytes() == predictions[user].astype(dtype).tobytes()


def test_rows_on_both_sides_of_a_border_of_parts_are_each_read_from_their_own(tmp_path):
    rows = np.random.default_rng(7).random((6, STOCKS))
    users = [f"user_{number}" for number in range(6)]
    first = dict(zip(users[:3], rows[:3], strict=True))
    packed = tmp_path / "packed"
    pack_round(write_round(tmp_path / "round", first), packed)
    # of the second part the first row is replaced later, so that a row 3 follows row 2
    more = first | dict(zip(users[3:], rows[:3][::-1], strict=True))
    pack_round(write_round(tmp_path / "round", more), packed)
    four = more | {f"late_{number}": row for number, row in enumerate(rows)}
    pack_round(write_round(tmp_path / "round", four), packed)
    last = four | dict(zip([*users[3:], *list(four)[6:9]], rows[[4, 5, 3, 5, 3, 4]], strict=True))
    pack_round(write_round(tmp_path / "round", last), packed)
    found = open_packed(packed)
    part, row = found.index.part, found.index.row
    assert ((np.diff(part) != 0) & (np.diff(row) == 1)).any()
    submissions = found.submissions()
    everything = submissions.matrix[np.arange(len(submissions.users))]
    for user, values in zip(submissions.users, everything, strict=True):
        assert values.tobytes() == last[user].tobytes()


@pytest.mark.parametrize("value", [3.0, -1.0])
def test_what_a_staker_predicts_for_stocks_that_are_not_scored_is_not_looked_at(
    tmp_path, close, value
):
    close["ann"][7] = value
    late = pd.DataFrame({"id": IDS, "target": np.arange(STOCKS) % 5 / 4}).drop(index=7)
    folder, packed = tmp_path / "round", tmp_path / "packed"
    write_round(folder, close).joinpath("ids.csv").write_text("\n".join(["id", *IDS]) + "\n")
    targets = folder / "targets.csv"
    targets.unlink()
    pack_round(folder, packed)
    late.to_csv(targets, index=False)
    (folder / "ids.csv").unlink()
    pack_round(folder, packed)
    round_ = read_round(packed).round
    assert round_.ids == [*IDS[:7], *IDS[8:]]
    assert not round_.quarantined
    assert digest(packed) == digest(folder)


def test_a_packed_round_is_checked_for_the_blend_that_is_asked_for(tmp_path, close):
    close["ann"] = close["ann"] + 2  # staked and outside [0, 1]
    close["bob"] = close["bob"] - 0.25
    folder, packed = write_round(tmp_path / "round", close), tmp_path / "packed"
    pd.DataFrame({"user": ["ann", "bob"], "stake": [1.0, 2.0]}).to_csv(
        folder / "stakes.csv", index=False
    )
    pack_round(folder, packed)
    raw, ranked = (read_round(packed, blend=blend).round for blend in ("raw", "ranked"))
    assert [(fault.user, fault.code) for fault in raw.quarantined] == [("ann", "prediction-range")]
    assert not ranked.quarantined
    assert (raw.blend, ranked.blend) == ("raw", "ranked")
    engine = load_engine("numpy")
    for round_, blend in ((raw, "ranked"), (ranked, "raw")):
        with pytest.raises(ValueError, match=f"checked for blend='{round_.blend}', not '{blend}'"):
            score(round_, Method(blend=blend), engine)
    expected = score(read_round(folder, blend="ranked").round, Method(blend="ranked"), engine)
    assert score(ranked, Method(blend="ranked"), engine).digest == expected.digest


def test_notes_tell_how_many_ids_of_a_wide_file_were_ignored(tmp_path, close):
    folder = write_round(tmp_path / "round", close)
    assert not pack_round(folder, tmp_path / "exact").notes
    frame = pd.DataFrame({"id": IDS, **close})
    more = frame[:3].assign(id=["x1", "x2", "x3"])
    pd.concat([more, frame]).to_parquet(folder / "predictions.parquet", index=False)
    expected = "3 ids are none of the round's, and ignored"
    assert [note for note in pack_round(folder, tmp_path / "packed").notes if "ids" in note] == [
        expected
    ]
    assert digest(tmp_path / "packed") == digest(tmp_path / "exact")


def test_packing_tells_how_far_it_is(tmp_path):
    rows = make_sample_round(users=90, stocks=STOCKS, seed=1)
    predictions = dict(zip(rows.users, rows.predictions, strict=True))
    folder = write_round(tmp_path / "round", predictions)
    said = []
    pack_round(folder, tmp_path / "packed", progress=lambda *what: said.append(what))
    assert said == [("pack", 64, 90), ("pack", 90, 90)]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A packed round with three groups of stakers."""
    folder = tmp_path_factory.mktemp("many")
    write_sample_round(folder / "round", make_sample_round(3_800, STOCKS, seed=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_matrix, "_PIECE_BYTES", PIECE * STOCKS * 8)
        pack_round(folder / "round", folder / "packed")
    return folder / "packed"


@pytest.fixture(scope="module")
def expected(many):
    """The digest of that round, from rows that are read in one."""
    round_ = read_round(many).round
    assert round_.stakers > 2 * GROUP
    return score(round_, Method(draws=3), load_engine("numpy"), draws=False).digest


class TestPieces:
    """Rows are read, and checked by one sha256, many at a time."""

    @pytest.fixture
    def hashed(self, monkeypatch):
        """How many rows each call of sha256 gets."""
        found, sha256 = [], hashlib.sha256

        def noted(data):
            found.append(len(data) if data.ndim == 2 else 1)
            return sha256(data)

        monkeypatch.setattr(packed_matrix, "hashlib", SimpleNamespace(sha256=noted))
        return found

    @pytest.fixture
    def read(self, monkeypatch):
        """How many rows each reading of the file gets."""
        found, read_into = [], OpenFile.read_into

        def noted(file, view, offset):
            found.append(len(view) // (STOCKS * 8))
            return read_into(file, view, offset)

        monkeypatch.setattr(OpenFile, "read_into", noted)
        return found

    def test_are_hashed_at_once_and_rows_between_the_wanted_ones_with_them(self, many, hashed):
        matrix = open_packed(many).submissions().matrix
        wanted = np.flatnonzero(np.arange(3_800) % 3)
        found = matrix[wanted]
        assert len(hashed) == -(-3_800 // PIECE)
        assert sum(hashed) == 3_800
        np.testing.assert_array_equal(matrix[:][wanted], found)
        assert sum(hashed) == 3_800  # all were right

    def test_that_were_right_are_not_read_for_some_of_their_rows(self, many, read):
        matrix = open_packed(many).submissions().matrix
        stored = matrix[:]
        read.clear()
        wanted = np.array([PIECE + 4, PIECE + 1, PIECE + 2])
        np.testing.assert_array_equal(matrix[wanted], stored[wanted])
        assert read == [4]
        read.clear()
        wanted = np.arange(PIECE - 2, 2 * PIECE - 2)
        np.testing.assert_array_equal(matrix[wanted], stored[wanted])
        assert read == [PIECE]

    def test_of_which_few_rows_are_wanted_are_not_read(self, many, hashed, read):
        matrix = open_packed(many).submissions().matrix
        wanted = np.array([3_790, 5, 2 * PIECE, 3, 2 * PIECE - 1])
        found = matrix[wanted]
        assert read == hashed == [1] * 5
        np.testing.assert_array_equal(found, np.load(next(many.glob("*.npy")))[wanted])

    @pytest.mark.parametrize("order", ["backwards", "mixed"])
    def test_may_be_wanted_in_any_order(self, many, order):
        wanted = np.arange(3_800)[::-1]
        wanted = wanted if order == "backwards" else np.random.default_rng(0).permutation(wanted)
        matrix, stored = open_packed(many).submissions().matrix, np.load(next(many.glob("*.npy")))
        np.testing.assert_array_equal(matrix[wanted], stored[wanted])
        assert matrix[wanted[:0]].shape == (0, STOCKS)

    def test_with_a_flipped_bit_name_the_row(self, many, tmp_path):
        copy = shutil.copytree(many, tmp_path / "copy")
        (file,) = copy.glob("*.npy")
        data = bytearray(file.read_bytes())
        data[packed_matrix.HEADER + 70 * STOCKS * 8] ^= 1
        file.write_bytes(data)
        matrix = open_packed(copy).submissions().matrix
        without = np.delete(np.arange(3_800), 70)
        matrix[without]  # nobody asked for it
        with pytest.raises(RoundError, match=r"row 70, user .*sha256") as caught:
            matrix[:]
        assert caught.value.user == open_packed(copy).index.users[70]

    def test_end_where_the_rows_of_several_batches_end(self, tmp_path):
        """The last piece is a part; batches end within pieces."""
        rows = make_sample_round(users=150, stocks=STOCKS, seed=1)
        predictions = dict(zip(rows.users, rows.predictions, strict=True))
        pack_round(write_round(tmp_path / "round", predictions), tmp_path / "packed")
        packed = open_packed(tmp_path / "packed")
        stored = np.load(next((tmp_path / "packed").glob("*.npy")))
        (part,) = json.loads((tmp_path / "packed/manifest.json").read_text())["parts"]
        pieces = [stored[at : at + part["piece"]] for at in range(0, 150, part["piece"])]
        expected = [hashlib.sha256(piece).digest() for piece in pieces]
        assert [row.tobytes() for row in packed.index.pieces[0]] == expected

    @pytest.mark.parametrize("schema", ["mmc_gpu packed 1", "mmc_gpu packed 2"])
    def test_are_not_in_older_rounds_which_score_alike(self, many, expected, tmp_path, schema):
        copy = shutil.copytree(many, tmp_path / "copy")
        manifest = json.loads((copy / "manifest.json").read_text())
        (part,) = manifest["parts"]
        del part["piece"]
        table = pq.read_table(copy / part["index"]).drop_columns("piece")
        pq.write_table(table, copy / part["index"])
        sha256 = hashlib.sha256((copy / part["index"]).read_bytes()).hexdigest()
        manifest["files"][part["index"]] = sha256
        (copy / "manifest.json").write_text(json.dumps(manifest | {"schema": schema}))
        round_, numpy = read_round(copy).round, load_engine("numpy")
        assert score(round_, Method(draws=3), numpy, draws=False).digest == expected
        (file,) = copy.glob("*.npy")
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        with pytest.raises(RoundError, match="row 3,799, user"):
            digest(copy)


class TestThreadsThatReadForThemselves:
    """Each thread of the cpu engine reads, hashes and scores a block of its own."""

    @pytest.fixture
    def readers(self, monkeypatch):
        """The threads that read rows, each by its name, with how many rows a call reads."""
        found, get = [], PackedMatrix.__getitem__

        def noted(matrix, rows):
            found.append((threading.current_thread().name, len(np.atleast_1d(rows))))
            return get(matrix, rows)

        monkeypatch.setattr(PackedMatrix, "__getitem__", noted)
        monkeypatch.setattr(scoring, "_BLOCKS", 1)
        return found

    @pytest.mark.parametrize(
        ("rows", "threads"), [(None, 1), (None, 2), (100, 5), (1500, 2), (1500, 5)]
    )
    def test_change_no_bit(self, many, expected, rows, threads, readers):
        round_, engine = read_round(many).round, load_engine("cpu", threads)
        found = score(round_, Method(draws=3), engine, draws=False, block_rows=rows)
        assert found.digest == expected

    def test_are_all_the_engines(self, many, readers):
        score(read_round(many).round, Method(draws=3), load_engine("cpu", 1), draws=False)
        assert {name for name, _ in readers} == {"MainThread"}
        readers.clear()
        score(read_round(many).round, Method(draws=3), load_engine("cpu", 2), draws=False)
        blends = [name for name, rows in readers if rows == GROUP]
        assert len(blends) == 2  # whole groups, and what is left
        assert all(name.startswith("side by side") for name, _ in readers)

    def test_keep_to_the_memory_that_is_asked_for(self, many, readers):
        engine = load_engine("cpu", 2)
        round_ = read_round(many).round
        score(round_, Method(draws=3), engine, draws=False, block_rows=2 * GROUP)
        assert {name for name, rows in readers if rows == 2 * GROUP} == {"ahead_0"}

    def test_let_the_disk_begin_with_the_pieces_that_are_read(self, many, monkeypatch):
        matrix, expected = open_packed(many).submissions().matrix, []
        monkeypatch.setattr(OpenFile, "expect", lambda file, *piece: expected.append(piece))
        matrix[np.r_[100:1000, 3000:3100]]
        size = PIECE * STOCKS * matrix.dtype.itemsize
        pieces = [
            *range(100 // PIECE, 1000 // PIECE + 1),
            *range(3000 // PIECE + 1, 3100 // PIECE + 1),
        ]
        assert sorted(expected) == [(packed_matrix.HEADER + n * size, size) for n in pieces]


class TestTheDiskReadsAhead:
    @pytest.fixture
    def asked(self, monkeypatch):
        """What the system is told will be read, from where to where."""
        pieces = []
        monkeypatch.setattr(places, "will_read", lambda _, at, size: pieces.append((at, at + size)))
        return pieces

    def test_twice_as_fast_as_pieces_are_wanted_to_a_bound(self, tmp_path, asked, monkeypatch):
        monkeypatch.setattr(places, "_AHEAD", 100)
        (tmp_path / "file").write_bytes(bytes(1_000))
        file = OpenFile(tmp_path / "file")
        for at in range(0, 1_000, 20):
            file.expect(at, 20)
            assert at + 20 <= asked[-1][1] <= min(at + 100, 1_000)
        assert asked[:3] == [(0, 40), (40, 80), (80, 120)]
        assert [start for start, _ in asked[1:]] == [stop for _, stop in asked[:-1]]
        file.expect(0, 20)
        assert asked[-1] == (0, 40)  # the second pass begins
        file.close()

    def test_not_for_few_rows_of_a_piece(self, many, asked):
        matrix = open_packed(many).submissions().matrix
        matrix[np.array([3_790, 5, 2 * PIECE, 3])]
        assert not asked
        matrix[:]
        assert asked[-1][1] == matrix._files[0].size

    def test_and_linux_is_asked_for_little_at_a_time(self, tmp_path, monkeypatch):
        if not hasattr(os, "posix_fadvise"):
            pytest.skip("this system cannot be told")
        calls = []
        monkeypatch.setattr(os, "posix_fadvise", lambda *call: calls.append(call[1:3]))
        system.will_read(0, 7, 2 * system._ASKED + 5)
        assert [size for _, size in calls] == [system._ASKED, system._ASKED, 5]
        assert sum(calls[-1]) == 7 + 2 * system._ASKED + 5


def test_hashes_of_rows_are_not_read_where_pieces_have_theirs(many):
    packed = open_packed(many)
    packed.submissions().matrix[:]
    assert "sha256" not in vars(packed.index)
