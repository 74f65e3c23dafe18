"""What other processes find while results are written, and after kill -9."""

import os
from pathlib import Path

import pytest
from systems import posix

pytestmark = posix

WRITER = Path(__file__).with_name("killed_writer.py")


def killed_at_every_line(run_python, folder, way, previous):
    """Return how often a call was killed, and what was found: old, new, old aside, nothing."""
    return [int(word) for word in run_python(str(WRITER), str(folder), way, previous)]


def test_a_swap_killed_anywhere_leaves_the_old_result_or_the_new_one_whole(run_python, tmp_path):
    kills, old, new, aside, none = killed_at_every_line(run_python, tmp_path, "swapped", "1")
    assert kills > 100
    assert min(old, new) > 10
    assert aside == none == 0


def test_two_renames_killed_anywhere_leave_a_whole_result_there_or_aside(run_python, tmp_path):
    kills, old, new, aside, none = killed_at_every_line(run_python, tmp_path, "renamed", "1")
    assert kills > 100
    assert min(old, new) > 10
    assert 0 < aside < 10
    assert none == 0


def test_a_first_result_killed_anywhere_is_whole_or_not_there(run_python, tmp_path):
    kills, old, new, aside, none = killed_at_every_line(run_python, tmp_path, "swapped", "0")
    assert kills > 80
    assert min(new, none) > 5
    assert old == aside == 0


MANY = """
import sys
from pathlib import Path
from mmc_gpu.files.writing import replace as writing
if sys.argv[3] == "renamed":
    writing.exchange = lambda first, second: False
names = [f"{number}.csv" for number in range(4)]
for turn in range(25):
    text = f"{sys.argv[2]} {turn}".encode() * 999
    writing.replace_folder(
        Path(sys.argv[1]), dict.fromkeys(names, lambda file: file.write(text)), ()
    )
"""


def read_at_once(folder):
    """Return the distinct contents of a folder's files, or nothing while one is being removed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            names = [f"{number}.csv" for number in range(4)]
            files = [os.open(name, os.O_RDONLY, dir_fd=handle) for name in names]
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
def test_calls_at_once_never_mix_their_results(start_python, tmp_path, way):
    out = tmp_path / "out"
    writers = [start_python("-c", MANY, str(out), name, way) for name in "abc"]
    whole = 0
    while any(writer.poll() is None for writer in writers):
        texts = read_at_once(out)
        if texts is not None:
            assert len(texts) == 1
            whole += 1
    assert [(writer.returncode, writer.communicate()) for writer in writers] == [(0, ("", ""))] * 3
    assert whole > 10
    assert len(read_at_once(out)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
