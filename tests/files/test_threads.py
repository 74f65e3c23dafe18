"""Readers use as many threads as MMC_GPU_THREADS says, not as many as the machine has cores."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest

from mmc_gpu.engines.threads import VARIABLE
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.rounds import packed_matrix, packing
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.rounds.submissions import SubmissionReader
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("threads")
    write_sample_round(path, make_sample_round(users=24, stocks=120, seed=2), True)
    return path


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_matrix, "_PIECE_BYTES", 2 * 120 * 8)
        pack_round(folder, path)
    return read_round(path).round.predictions


def read_submissions(folder, packed, tmp_path):
    read_round(folder)


def pack_submissions(folder, packed, tmp_path):
    pack_round(folder, tmp_path)


def read_rows(folder, packed, tmp_path):
    packed[np.arange(len(packed))]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("owner", "name", "work"),
    [
        (SubmissionReader, "read", read_submissions),
        (SubmissionReader, "read", pack_submissions),
        (packed_matrix.PackedMatrix, "_read", read_rows),
    ],
    ids=["submissions", "packing", "packed rows"],
)
def test_readers_use_the_threads_that_are_asked_for(
    folder, packed, tmp_path, monkeypatch, threads, owner, name, work
):
    monkeypatch.setenv(VARIABLE, str(threads))
    monkeypatch.setattr(packing, "_BATCH", 2)
    used, together = set(), threading.Barrier(threads, timeout=60)
    read = getattr(owner, name)

    def read_together(*arguments):
        """Begin when all the others have begun: no thread is done before the last one starts."""
        if threading.get_ident() not in used:
            used.add(threading.get_ident())
            together.wait()
        return read(*arguments)

    monkeypatch.setattr(owner, name, read_together)
    work(folder, packed, tmp_path)
    assert len(used) == threads


@pytest.mark.parametrize(("threads", "found"), [(1, 1), (3, 3), (16, 8)])
def test_arrow_decodes_with_no_more_threads_than_are_asked_for(
    tmp_path, monkeypatch, threads, found
):
    monkeypatch.setenv(VARIABLE, str(threads))
    write_sample_round(tmp_path, make_sample_round(users=24, stocks=30, seed=2))
    before = pa.cpu_count()
    pa.set_cpu_count(8)
    try:
        read_table(tmp_path / "predictions.parquet")
        assert pa.cpu_count() == found
    finally:
        pa.set_cpu_count(before)


ALONE = """
import json, sys, threading
started, begin = [], threading.Thread.start
def start(thread):
    started.append(thread.name)
    begin(thread)
threading.Thread.start = start
from mmc_gpu.__main__ import main
for name, folder, engine, out in json.loads(sys.argv[1]):
    started.clear()
    sys.argv = ["mmc-gpu", "score", folder, "--engine", engine, "--report", "-o", out, "--quiet"]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended
    import pyarrow, threadpoolctl
    blas = [found["num_threads"] for found in threadpoolctl.threadpool_info()]
    found = {"started": list(started), "arrow": pyarrow.cpu_count(), "blas": blas}
    print(json.dumps([name, found]))
"""
"""Runs commands; prints which threads Python has started, and the sizes of the pools."""


def test_a_process_with_one_thread_computes_in_one(tmp_path):
    sample = make_sample_round(60, 300, seed=3)
    for kind in ("wide", "each"):
        write_sample_round(tmp_path / kind, sample, kind == "each")
    pack_round(tmp_path / "each", tmp_path / "packed")
    kinds = [("wide", "cpu"), ("each", "numpy"), ("packed", "numpy"), ("packed", "cpu")]
    asked = [
        (f"{kind} on {name}", str(tmp_path / kind), name, str(tmp_path / f"{kind} {name}"))
        for kind, name in kinds
    ]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(asked)],
        env=os.environ | {VARIABLE: "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    told = dict(map(json.loads, done.stdout.splitlines()))
    assert list(told) == [name for name, *_ in asked]
    for name, found in told.items():
        # one thread reads a folder's files, while the command's own waits
        assert len(found["started"]) <= name.startswith("each"), (name, found)
        assert found["arrow"] == 1, (name, found)
        assert set(found["blas"]) <= {1}, (name, found)
