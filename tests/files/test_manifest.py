"""Manifests of packed rounds: what they say, what is refused, and what is on the disk before."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round
from mmc_gpu.rounds.scoring import score

USERS, STOCKS = 8, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A round with one CSV a user, and the same packed; not to be changed."""
    path = tmp_path_factory.mktemp("made")
    write_sample_round(path / "round", make_sample_round(USERS, STOCKS, seed=3), submissions=True)
    pack_round(path / "round", path / "packed")
    return path


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made / "round", tmp_path / "round")


@pytest.fixture
def packed(made, tmp_path):
    return shutil.copytree(made / "packed", tmp_path / "packed")


def change(packed, function):
    """Change a manifest in place."""
    manifest = json.loads((packed / "manifest.json").read_text())
    function(manifest)
    (packed / "manifest.json").write_text(json.dumps(manifest))


def digest(folder):
    return score(read_round(folder).round, Method(draws=4), load_engine("numpy")).digest


@pytest.mark.parametrize("stocks", [STOCKS - 1, STOCKS + 1, 0])
def test_another_number_of_stocks_is_refused(packed, refused, stocks):
    change(packed, lambda manifest: manifest.update(stocks=stocks))
    assert f"{stocks} stocks, {STOCKS} ids" in refused("file-damaged", read_round, packed)


@pytest.mark.parametrize("kind", ["matrix", "index"])
def test_a_part_outside_the_folder_is_refused(packed, tmp_path, refused, kind):
    def elsewhere(manifest):
        part = manifest["parts"][0]
        name = f"../{part[kind]}"
        (packed / part[kind]).rename(tmp_path / part[kind])
        if part[kind] in manifest["files"]:
            manifest["files"][name] = manifest["files"].pop(part[kind])
        part[kind] = name

    change(packed, elsewhere)
    assert "manifest.json" in refused("file-damaged", digest, packed)


@pytest.mark.parametrize("dtype", ["<f4", "<i8", ">f8", "<U2", "float65"])
def test_a_dtype_that_is_not_the_matrix_own_is_refused(packed, refused, dtype):
    change(packed, lambda manifest: manifest["parts"][0].update(dtype=dtype))
    refused("file-damaged", digest, packed)


@pytest.mark.parametrize("key", ["matrix", "rows", "dtype", "index"])
def test_a_part_of_which_something_is_not_said_is_refused(packed, refused, key):
    change(packed, lambda manifest: manifest["parts"][0].pop(key))
    assert key in refused("file-damaged", read_round, packed)


def test_a_part_without_its_matrix_is_refused(packed, refused):
    (matrix,) = packed.glob("predictions-*.npy")
    matrix.unlink()
    assert matrix.name in refused("file-missing", read_round, packed)


@pytest.mark.parametrize("more", [-1, 1, 8])
def test_a_matrix_of_another_size_is_refused_before_anything_is_read(packed, refused, more):
    (matrix,) = packed.glob("predictions-*.npy")
    data = matrix.read_bytes()
    matrix.write_bytes((data + bytes(8))[: len(data) + more])
    detail = refused("file-damaged", read_round, packed)
    assert f"{len(data) + more:,} bytes, not {len(data):,}" in detail


@pytest.mark.parametrize("damage", [lambda data: data[:-8], lambda data: b"x" + data[1:]])
def test_a_matrix_with_another_size_or_header_is_not_said_to_be_unchanged(
    folder, packed, refused, damage
):
    (matrix,) = packed.glob("predictions-*.npy")
    matrix.write_bytes(damage(matrix.read_bytes()))
    assert matrix.name in refused("file-damaged", pack_round, folder, packed)


def replaced(table, name, values):
    """Return a table with other values in a column; without the column for None."""
    at = table.column_names.index(name)
    return table.remove_column(at) if values is None else table.set_column(at, name, [values])


NOBODY = {"user": "ann", "code": "value-text", "detail": "", "file": "", "line": None}
CONTENTS = {
    "ids without the column": ("ids", lambda table: replaced(table, "id", None)),
    "ids of numbers": ("ids", lambda table: replaced(table, "id", range(STOCKS))),
    "ids that are null": ("ids", lambda table: replaced(table, "id", [None] * STOCKS)),
    "stakes without users": ("stakes", lambda table: replaced(table, "user", None)),
    "stakes that are text": ("stakes", lambda table: replaced(table, "stake", ["x"] * len(table))),
    "targets without ids": ("targets", lambda table: replaced(table, "id", None)),
    "a fault of no code": ("quarantine", lambda _: pa.table({"user": ["a"], "code": ["x"]})),
    "an unknown code": ("quarantine", lambda _: pa.Table.from_pylist([NOBODY | {"code": "x"}])),
    "a user of numbers": ("quarantine", lambda _: pa.Table.from_pylist([NOBODY | {"user": 1}])),
    "users of numbers": ("index", lambda table: replaced(table, "user", range(USERS))),
    "users that are null": ("index", lambda table: replaced(table, "user", [None] * USERS)),
    "bounds of text": ("index", lambda table: replaced(table, "least", ["0"] * USERS)),
    "short hashes": ("index", lambda table: replaced(table, "sha256", [b"x"] * USERS)),
    "hashes of text": ("index", lambda table: replaced(table, "piece", ["x" * 32] * USERS)),
    "no Parquet": ("ids", None),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_a_table_of_wrong_content_whose_sha256_fits_is_refused(packed, what):
    kind, damage = CONTENTS[what]
    manifest = json.loads((packed / "manifest.json").read_text())
    name = manifest["parts"][0]["index"] if kind == "index" else manifest["tables"][kind]
    if damage is None:
        (packed / name).write_bytes(b"PAR1" * 4)
    else:
        pq.write_table(damage(pq.read_table(packed / name)), packed / name)
    sha256 = hashlib.sha256((packed / name).read_bytes()).hexdigest()
    change(packed, lambda manifest: manifest["files"].update({name: sha256}))
    with pytest.raises(RoundError):
        digest(packed)


def test_it_has_a_sha256_of_what_belongs_to_the_round_and_of_nothing_else(folder, packed):
    for number in range(3):
        stakes = pd.read_csv(folder / "stakes.csv")
        stakes["stake"] += 1
        stakes.to_csv(folder / "stakes.csv", index=False)
        submission = next((folder / "submissions").iterdir())
        frame = pd.read_csv(submission)
        frame["prediction"] = np.roll(frame["prediction"], 1 + number)
        frame.to_csv(submission, index=False)
        pack_round(folder, packed)
        manifest = json.loads((packed / "manifest.json").read_text())
        parts = {part["index"] for part in manifest["parts"]}
        assert manifest["files"].keys() == parts | set(manifest["tables"].values())
        matrices = {part["matrix"] for part in manifest["parts"]}
        assert {path.name for path in packed.iterdir()} == {
            "manifest.json", *matrices, *manifest["files"]
        }  # fmt: skip


def test_every_file_is_on_the_disk_before_the_manifest_names_it(folder, tmp_path, monkeypatch):
    synced, named = set(), []
    sync, replace = os.fsync, Path.replace

    def syncing(handle):
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    def replacing(path, target):
        if Path(target).name == "manifest.json":
            entries = list(Path(target).parent.iterdir())
            named.extend((entry.name, entry.stat().st_ino in synced) for entry in entries)
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", replacing)
    pack_round(folder, tmp_path / "packed")
    assert any(name.endswith(".npy") for name, _ in named)
    assert all(on_disk for name, on_disk in named if name != ".lock"), named


class TestASecondPack:
    def codes(self, packed):
        return {fault.user: fault.code for fault in read_round(packed).round.quarantined}

    def test_tells_of_two_submissions_of_a_user(self, folder, packed):
        user = sorted(path.stem for path in (folder / "submissions").iterdir())[0]
        one = folder / f"submissions/{user}.csv"
        pd.read_csv(one).to_parquet(one.with_suffix(".parquet"), index=False)
        for _ in range(2):  # and it stays so
            packing = pack_round(folder, packed)
            found = {(fault.user, fault.code) for fault in packing.quarantined}
            assert found == {(user, "user-duplicate")}
            assert self.codes(packed)[user] == "user-duplicate"
        one.with_suffix(".parquet").unlink()
        assert not pack_round(folder, packed).quarantined
        assert digest(packed) == digest(folder)

    def test_tells_of_two_stakes_of_a_user(self, folder, packed):
        stakes = pd.read_csv(folder / "stakes.csv")
        again = pd.concat([stakes, stakes[:1].assign(stake=7.0)])
        again.to_csv(folder / "stakes.csv", index=False)
        for _ in range(2):
            pack_round(folder, packed)
            assert self.codes(packed) == {stakes["user"][0]: "user-duplicate"}
        stakes.to_csv(folder / "stakes.csv", index=False)
        pack_round(folder, packed)
        assert not self.codes(packed)
