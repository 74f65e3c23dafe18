"""What other processes find while results are written, and after kill -9."""

import os
from functools import partial
from pathlib import Path

import pytest
from systems import copied, posix

from mmc_gpu.files.writing import replace as writing

pytestmark = posix

WRITER = Path(__file__).with_name("killed_writer.py")


@pytest.fixture(scope="module")
def killed(run_python, tmp_path_factory):
    """How often a call was killed, and what was found: old, new, old aside, nothing."""
    folder = tmp_path_factory.mktemp("killed")
    words = iter(map(int, run_python(str(WRITER), str(folder))))
    ways = ("swapped", "first", "renamed")
    return {way: [next(words) for _ in range(5)] for way in ways}


def test_a_swap_killed_anywhere_leaves_the_old_result_or_the_new_one_whole(killed):
    kills, old, new, aside, none = killed["swapped"]
    assert kills > 100
    assert min(old, new) > 10
    assert aside == none == 0


def test_two_renames_killed_anywhere_leave_a_whole_result_there_or_aside(killed):
    kills, old, new, aside, none = killed["renamed"]
    assert kills > 40
    assert min(old, new) > 10
    assert 0 < aside < 10
    assert none == 0


def test_a_first_result_killed_anywhere_is_whole_or_not_there(killed):
    kills, old, new, aside, none = killed["first"]
    assert kills > 80
    assert min(new, none) > 5
    assert old == aside == 0


NAMES = [f"{number}.csv" for number in range(4)]


def write_many(out, name, way):
    if way == "renamed":
        writing.exchange = lambda first, second: False
    for turn in range(12):
        text = f"{name} {turn}".encode() * 999
        writing.replace_folder(
            out, dict.fromkeys(NAMES, lambda file, text=text: file.write(text)), ()
        )


def read_at_once(folder):
    """Return the distinct contents of a folder's files, or nothing while one is being removed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            files = [os.open(name, os.O_RDONLY, dir_fd=handle) for name in NAMES]
        finally:
            os.close(handle)
    except FileNotFoundError:
        return None
    texts = set()
    for file in files:
        with os.fdopen(file) as stream:
            texts.add(stream.read())
    return texts


@pytest.mark.parametrize("way", ["swapped", "renamed"])
def test_calls_at_once_never_mix_their_results(tmp_path, way):
    out = tmp_path / "out"
    writers = {copied(partial(write_many, out, name, way)) for name in "abc"}
    whole = 0
    while writers:
        texts = read_at_once(out)
        if texts is not None:
            assert len(texts) == 1
            whole += 1
        for writer in [*writers]:
            ended, status = os.waitpid(writer, os.WNOHANG)
            assert status == 0
            writers.discard(ended)
    assert whole > 10
    assert len(read_at_once(out)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
