"""Readers use as many threads as MMC_GPU_THREADS says, not as many as the machine has cores."""

import threading
import time

import numpy as np
import pytest

from mmc_gpu.engines.threads import VARIABLE
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
    monkeypatch.setattr(packed_matrix, "_TASK_ROWS", 2)
    used = set()
    read = getattr(owner, name)

    def slow_read(*arguments):
        used.add(threading.get_ident())
        time.sleep(0.005)
        return read(*arguments)

    monkeypatch.setattr(owner, name, slow_read)
    work(folder, packed, tmp_path)
    assert len(used) == threads
