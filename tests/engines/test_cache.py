"""Compiled code on disk: whatever becomes of it, kernels run, and give the same numbers."""

import errno
import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from systems import ROOT

numba = pytest.importorskip("numba")

from mmc_gpu.engines.cpu import compiled  # noqa: E402
from mmc_gpu.engines.cpu.cache import kept_code  # noqa: E402

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")

SOURCE = """
from mmc_gpu.engines.cpu.compiled import kernel

@kernel("int64[::1]")
def triple(numbers):
    for place in range(len(numbers)):
        numbers[place] = 3 * numbers[place]
"""


def run_kernel(source):
    """Import a kernel and run it, as each process does; return whether it came from the disk."""
    spec = importlib.util.spec_from_file_location("source", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    numbers = np.arange(14, 16)
    module.triple(numbers)
    assert numbers.tolist() == [42, 45]
    return module.triple.found


class Cached:
    """A kernel in a file of its own, imported anew by each call."""

    def __init__(self, folder):
        self.source, self.code = folder / "source.py", folder / "code"
        self.source.write_text(SOURCE)

    def hits(self):
        return run_kernel(self.source)

    def kept(self):
        """Return its code on disk, None where there is none."""
        return kept_code("source.triple", str(self.source), compiled._processor())

    def files(self):
        return [path for path in self.code.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """The folder of a kernel that was compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(folder / "code"))
        cached = Cached(folder)
        assert [cached.hits(), cached.hits()] == [0, 1]
    return cached.code


@pytest.fixture
def cached(compiled_once, tmp_path, monkeypatch):
    """A kernel whose code lies on disk."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    shutil.copytree(compiled_once, tmp_path / "code")
    return Cached(tmp_path)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES = [
    *(lambda data, length=length: data[:length] for length in (0, 1, 31, 32, 33, 900, -1)),
    *(lambda data, place=place: flipped(data, place) for place in (0, 31, 32, 40, 1000, -1)),
    lambda data: data[len(data) // 2 :],
    lambda data: data[32:],  # the seal is gone
    lambda data: bytes(32) + data[32:],
    lambda data: bytes(len(data)),
    lambda data: data + b"\0",
    lambda data: b"no code at all",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_holds_no_code(cached, damage):
    (path,) = cached.files()
    whole = path.read_bytes()
    assert cached.kept() == whole[32:]
    path.write_bytes(damage(whole))
    assert cached.kept() is None


@pytest.mark.parametrize("damage", [DAMAGES[0], DAMAGES[12], DAMAGES[14]])
def test_a_damaged_file_is_dropped_and_compiled_anew(cached, damage):
    (path,) = cached.files()
    path.write_bytes(damage(path.read_bytes()))
    assert [cached.hits(), cached.hits()] == [0, 1]
    assert len(cached.files()) == 1


def test_a_file_that_is_gone_is_written_again(cached):
    cached.files()[0].unlink()
    assert [cached.hits(), cached.hits()] == [0, 1]


def test_a_folder_where_the_file_should_be_stops_nobody(cached):
    (path,) = cached.files()
    path.unlink()
    path.mkdir()
    assert [cached.hits(), cached.hits()] == [0, 0]


def test_changed_source_is_compiled_anew(cached):
    cached.source.write_text(SOURCE.replace("3 * numbers", "+3 * numbers"))
    assert [cached.hits(), cached.hits()] == [0, 1]
    assert len(cached.files()) == 1  # in place of the old one


def test_code_of_another_compiler_is_left_alone(cached, monkeypatch):
    other = (*compiled._processor()[:-1], "0.0.1")
    monkeypatch.setattr(compiled, "_processor", lambda: other)
    assert [cached.hits(), cached.hits()] == [0, 1]
    assert len(cached.files()) == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("whole", [True, False])
def test_without_room_the_code_stays_in_memory(cached, monkeypatch, number, whole):
    (path,) = cached.files()
    data = path.read_bytes()
    path.write_bytes(data if whole else data[:50])

    def replace(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", replace)
    assert [cached.hits(), cached.hits()] == [whole, whole]
    assert not [path for path in cached.files() if path.name.endswith(".tmp")]


def test_a_bad_file_that_cannot_be_removed_stops_nobody(cached, monkeypatch):
    (path,) = cached.files()
    path.write_bytes(b"bad")

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    assert cached.hits() == 0


def test_a_full_disk_stops_nobody(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if not ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(disk / "code"))
        cached = Cached(tmp_path)
        with (disk / "rest").open("wb", buffering=0) as rest, suppress(OSError):
            while rest.write(bytes(4096)):
                pass
        assert [cached.hits(), cached.hits()] == [0, 0]
        assert not cached.files()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("lost", ["damaged", "empty"])
def test_processes_at_once_fill_a_damaged_or_an_empty_cache(cached, lost):
    (path,) = cached.files()
    if lost == "empty":
        shutil.rmtree(cached.code)
    else:
        path.write_bytes(flipped(path.read_bytes(), 1000))
    # copies of this process import nothing anew, and so are at the cache at once
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    processes = [context.Process(target=run_kernel, args=(cached.source,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(cached.files()) == 1
    assert cached.hits() == 1
