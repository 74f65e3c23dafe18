"""Writing files and folders: whole or not at all, whatever happens meanwhile.

Long, because every step of a swap can fail.
"""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import ROOT, posix

from mmc_gpu.errors import RoundError
from mmc_gpu.files import system
from mmc_gpu.files.system import exchange
from mmc_gpu.files.writing import replace as writing
from mmc_gpu.files.writing.replace import replace_folder, write_file
from mmc_gpu.files.writing.tables import csv_safe, csv_unsafe


def text(contents):
    return lambda file: file.write(contents.encode())


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture
def small_files():
    """No file may grow beyond 64 KiB: the kernel's own refusal, as on a full disk."""
    resource = pytest.importorskip("resource", reason="no limits on this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, previous)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


# one file


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "scores.csv"
    write_file(path, b"first")
    write_file(path, b"second")
    assert contents(tmp_path) == {"scores.csv": "second"}


def test_a_file_has_the_permissions_of_any_new_file(tmp_path):
    write_file(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_writer_that_fails_leaves_the_previous_file(tmp_path):
    path = tmp_path / "scores.csv"
    write_file(path, b"first")
    with pytest.raises(TypeError):
        write_file(path, "no bytes")
    assert contents(tmp_path) == {"scores.csv": "first"}


def test_a_file_too_large_for_the_system_leaves_the_previous_one(tmp_path, refused, small_files):
    path = tmp_path / "scores.csv"
    write_file(path, b"first")
    detail = refused("output-failed", write_file, path, b"x" * 100_000)
    assert os.strerror(errno.EFBIG) in detail
    assert contents(tmp_path) == {"scores.csv": "first"}


def test_a_full_disk_leaves_the_previous_file(full_disk, refused):
    path = full_disk / "scores.csv"
    write_file(path, b"first")
    detail = refused("output-failed", write_file, path, b"x" * 100_000)
    assert "No space left on device" in detail
    assert contents(full_disk) == {"scores.csv": "first"}


def test_a_file_in_a_folder_that_is_not_there_says_so(tmp_path, refused):
    detail = refused("output-failed", write_file, tmp_path / "gone" / "a", b"")
    assert "No such file or directory" in detail


def test_a_folder_is_not_replaced_by_a_file(tmp_path, refused):
    (tmp_path / "a").mkdir()
    detail = refused("output-failed", write_file, tmp_path / "a", b"")
    assert "directory" in detail or "folder" in detail
    assert (tmp_path / "a").is_dir()
    assert hidden(tmp_path) == []


# a folder

FIRST = {"scores.csv": text("first"), "receipt.json": text("1")}
SECOND = {"scores.csv": text("second"), "report.html": text("2")}
KNOWN = ["scores.csv", "receipt.json", "report.html", "quarantine.csv"]


@pytest.fixture(params=["swapped", "renamed twice"])
def way(request, monkeypatch):
    """Both ways to replace a folder: the second is for file systems that cannot swap."""
    if request.param == "renamed twice":
        monkeypatch.setattr(writing, "exchange", lambda first, second: False)
    return request.param


def test_two_folders_change_places_at_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "a", tmp_path / "b"), "this file system cannot swap folders"
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()


def test_a_folder_that_is_not_there_cannot_change_places(tmp_path):
    (tmp_path / "a").mkdir()
    assert not exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").is_dir()


def test_a_file_system_that_cannot_swap_gets_two_renames(tmp_path, monkeypatch):
    class Library:
        def __init__(self, *_, **__):
            pass

        def renameat2(self, *_):
            return -1

    monkeypatch.setattr("mmc_gpu.files.system.ctypes.CDLL", Library)
    for version in ("old", "new"):
        replace_folder(tmp_path / "out", {"a": text(version)}, known=())
    assert contents(tmp_path / "out") == {"a": "new"}


def test_a_system_without_the_call_says_that_it_cannot_swap(tmp_path, monkeypatch):
    class Library:
        def __init__(self, *_, **__):
            pass

    monkeypatch.setattr("mmc_gpu.files.system.ctypes.CDLL", Library)
    assert not exchange(tmp_path, tmp_path)


def test_a_folder_is_written_and_replaced_as_a_set(tmp_path, way):
    out = tmp_path / "some" / "where" / "out"
    replace_folder(out, FIRST, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1"}
    replace_folder(out, SECOND, KNOWN)
    assert contents(out) == {"scores.csv": "second", "report.html": "2"}
    assert hidden(out.parent) == []


def test_an_empty_folder_is_replaced(tmp_path, way):
    (tmp_path / "out").mkdir()
    replace_folder(tmp_path / "out", FIRST, KNOWN)
    assert contents(tmp_path / "out") == {"scores.csv": "first", "receipt.json": "1"}


def test_a_relative_folder_is_replaced(tmp_path, way, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace_folder(Path("out"), FIRST, KNOWN)
    replace_folder(Path("out"), SECOND, KNOWN)
    assert contents(tmp_path / "out") == {"scores.csv": "second", "report.html": "2"}


def test_a_folder_in_a_linked_folder_is_replaced(tmp_path, way):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for files in (FIRST, SECOND):
        replace_folder(tmp_path / "link" / "out", files, KNOWN)
    assert contents(tmp_path / "real" / "out") == {"scores.csv": "second", "report.html": "2"}
    assert hidden(tmp_path / "real") == []


def test_a_folder_has_the_permissions_of_any_new_folder(tmp_path):
    replace_folder(tmp_path / "out", FIRST, KNOWN)
    (tmp_path / "other").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path, way, refused):
    replace_folder(tmp_path / "out", FIRST, KNOWN)
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    before = contents(tmp_path / "out")

    def never(file):
        raise AssertionError("nothing is written before the folder is looked at")

    detail = refused(
        "output-foreign", replace_folder, tmp_path / "out", {"scores.csv": never}, KNOWN
    )
    assert "'thesis.doc'" in detail
    assert contents(tmp_path / "out") == before
    assert hidden(tmp_path) == []


def test_a_folder_under_a_known_name_is_left_alone(tmp_path, refused):
    (tmp_path / "out" / "scores.csv").mkdir(parents=True)
    refused("output-foreign", replace_folder, tmp_path / "out", FIRST, KNOWN)
    assert (tmp_path / "out" / "scores.csv").is_dir()


def test_files_of_known_names_without_a_seal_are_left_alone(tmp_path, refused):
    out = tmp_path / "out"
    out.mkdir()
    (out / "scores.csv").write_text("mine")
    detail = refused("output-foreign", replace_folder, out, FIRST, KNOWN, "receipt.json")
    assert "holds 'scores.csv' and no receipt.json" in detail
    assert contents(out) == {"scores.csv": "mine"}
    (out / "scores.csv").unlink()
    replace_folder(out, FIRST, KNOWN, "receipt.json")  # an empty folder is nobody's
    replace_folder(out, SECOND, KNOWN, "receipt.json")
    assert (out / "scores.csv").read_text() == "second"


def test_a_file_put_there_while_results_are_written_is_left_alone(tmp_path, way, refused):
    out = tmp_path / "out"
    replace_folder(out, FIRST, KNOWN)
    files = {"scores.csv": lambda file: (out / "thesis.doc").write_text("mine")}
    refused("output-foreign", replace_folder, out, files, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1", "thesis.doc": "mine"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_what_is_no_folder_is_left_alone(tmp_path, refused, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "elsewhere")
        if kind == "link":
            (tmp_path / "elsewhere").mkdir()
    refused("output-foreign", replace_folder, out, FIRST, KNOWN)
    assert out.is_symlink() or out.read_text() == "mine"


def test_a_writer_that_fails_leaves_the_previous_folder(tmp_path, way):
    replace_folder(tmp_path / "out", FIRST, KNOWN)

    def fail(file):
        raise KeyError("second")

    with pytest.raises(KeyError):
        replace_folder(tmp_path / "out", {"report.html": text("2"), "scores.csv": fail}, KNOWN)
    assert contents(tmp_path / "out") == {"scores.csv": "first", "receipt.json": "1"}
    assert hidden(tmp_path) == []


def test_a_full_disk_leaves_the_previous_folder(full_disk, way, refused):
    out = full_disk / "out"
    replace_folder(out, FIRST, KNOWN)
    files = {"report.html": text("2"), "scores.csv": text("x" * 100_000)}
    assert "No space left" in refused("output-failed", replace_folder, out, files, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1"}
    assert hidden(full_disk) == []


def test_a_full_disk_that_shows_only_in_fsync_leaves_the_previous_folder(
    tmp_path, refused, monkeypatch
):
    out = tmp_path / "out"
    replace_folder(out, FIRST, KNOWN)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused("output-failed", replace_folder, out, SECOND, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_second_rename_that_fails_puts_the_previous_folder_back(tmp_path, monkeypatch, error):
    out = tmp_path / "out"
    replace_folder(out, FIRST, KNOWN)
    monkeypatch.setattr(writing, "exchange", lambda first, second: False)
    rename = Path.replace

    def fail(self, target):
        if target == out and ".new-" in self.name:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((RoundError, KeyboardInterrupt)):
        replace_folder(out, SECOND, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1"}
    assert hidden(tmp_path) == []


def test_a_mount_point_cannot_be_replaced_and_says_what_can(full_disk, refused):
    detail = refused("output-failed", replace_folder, full_disk, FIRST, KNOWN)
    assert "a folder inside it can" in detail or "name a folder inside it" in detail
    assert contents(full_disk) == {}


def test_a_place_that_cannot_be_written_says_so(tmp_path, refused):
    (tmp_path / "file").touch()
    refused("output-failed", replace_folder, tmp_path / "file" / "out", FIRST, KNOWN)


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
@posix
def test_a_folder_without_permission_says_so(tmp_path, refused):
    (tmp_path / "mine").mkdir(mode=0o500)
    detail = refused("output-failed", replace_folder, tmp_path / "mine" / "out", FIRST, KNOWN)
    assert "Permission denied" in detail


@posix
def test_everything_is_on_the_disk_before_it_is_in_its_place(tmp_path, way, monkeypatch):
    out = tmp_path / "out"
    replace_folder(out, FIRST, KNOWN)
    synced, rename, swap = [], Path.replace, writing.exchange

    def moved(call):
        def move(*paths):
            synced.append("moved")
            return call(*paths)

        return move

    def sync(handle):
        synced.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", moved(rename))
    monkeypatch.setattr(writing, "exchange", moved(swap))
    replace_folder(out, SECOND, KNOWN)
    first, last = synced.index("moved"), len(synced) - synced[::-1].index("moved")
    inodes = [path.stat().st_ino for path in (out / "scores.csv", out / "report.html", out)]
    assert synced[:first] == inodes
    assert synced[last:] == [tmp_path.stat().st_ino]


# several calls


def test_a_call_within_anothers_writing_takes_nothing_from_it(tmp_path, way):
    out = tmp_path / "out"

    def interrupted(file):
        replace_folder(out, SECOND, KNOWN)
        assert contents(out) == {"scores.csv": "second", "report.html": "2"}
        file.write(b"first")

    replace_folder(out, FIRST | {"scores.csv": interrupted}, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1"}
    assert hidden(tmp_path) == []


def test_what_a_dead_call_has_left_is_removed(tmp_path, way):
    for kind in ("new", "old"):
        (tmp_path / f".out.{kind}-0123abcd").mkdir()
        (tmp_path / f".out.{kind}-0123abcd" / "scores.csv").touch()
    replace_folder(tmp_path / "out", FIRST, KNOWN)
    assert hidden(tmp_path) == []
    assert contents(tmp_path / "out") == {"scores.csv": "first", "receipt.json": "1"}


@pytest.mark.parametrize(
    "name", [".out.new-0123abcd", ".out.old-stuff", ".out.new-0123abcde", ".out2.new-0123abcd"]
)
def test_what_is_not_known_to_be_left_by_a_call_is_kept(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.doc").touch()
    replace_folder(tmp_path / "out", FIRST, KNOWN)
    assert hidden(tmp_path) == [name]
    assert (tmp_path / name / "thesis.doc").exists()


def test_a_previous_folder_left_aside_is_put_back_first(tmp_path, refused):
    out = tmp_path / "out"
    replace_folder(out, FIRST, KNOWN)
    out.rename(tmp_path / ".out.old-0123abcd")

    def fail(file):
        raise OSError(errno.EIO, "Input/output error")

    refused("output-failed", replace_folder, out, {"scores.csv": fail}, KNOWN)
    assert contents(out) == {"scores.csv": "first", "receipt.json": "1"}


@posix
def test_a_file_system_without_locks_will_do(tmp_path, way, monkeypatch):
    def unable(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(system.fcntl, "flock", unable)
    (tmp_path / ".out.new-0123abcd").mkdir()
    for files in (FIRST, SECOND):
        replace_folder(tmp_path / "out", files, KNOWN)
    assert contents(tmp_path / "out") == {"scores.csv": "second", "report.html": "2"}
    assert hidden(tmp_path) == [".out.new-0123abcd"]  # it may be another's, at work


# cells


@pytest.mark.parametrize("start", "=+-@\t\r")
def test_a_formula_becomes_text(start):
    assert csv_safe(f"{start}cmd()") == f"'{start}cmd()"


@pytest.mark.parametrize("name", ["", "user", "a=b", "'", "'a=", " =1", "\u0436"])
def test_other_text_stays(name):
    assert csv_safe(name) == csv_unsafe(name) == name


@given(text=st.text(alphabet="'=+-@\t\ra", max_size=6))
def test_a_cell_becomes_the_text_that_it_was(text):
    assert csv_unsafe(csv_safe(text)) == text
    assert not csv_safe(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("cell", ["'=sum", "'+1", "'a", "a'=", "'"])
def test_a_cell_of_the_first_version_is_read_as_it_was(cell):
    assert csv_unsafe(cell) == (cell[1:] if cell[1:2] in ("=", "+") else cell)


# days


WITH_DAYS = ("scores.csv", "receipt.json", "days/")


def write_day(folder, name, day):
    files = {"scores.csv": text(name), "receipt.json": text("{}")}
    replace_folder(folder, files, known=WITH_DAYS, seal="receipt.json", day=day)


def test_each_day_is_kept_and_the_same_day_is_replaced(tmp_path):
    out = tmp_path / "out"
    for name, day in (("a", "2026-11-01"), ("b", "2026-11-02"), ("c", "2026-11-02"), ("d", None)):
        write_day(out, name, day)
    kept = {path.name: (path / "scores.csv").read_text() for path in (out / "days").iterdir()}
    assert kept == {"2026-11-01": "a", "2026-11-02": "c"}
    assert (out / "scores.csv").read_text() == "d"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("stray", ["days/2026-11-01/thesis.txt", "days/thesis.txt", "days/a/b/c"])
def test_days_with_files_of_others_are_never_replaced(tmp_path, stray):
    out = tmp_path / "out"
    write_day(out, "a", "2026-11-01")
    (out / stray).parent.mkdir(parents=True, exist_ok=True)
    (out / stray).write_text("irreplaceable")
    with pytest.raises(RoundError, match="output-foreign"):
        write_day(out, "b", "2026-11-02")
    assert (out / stray).read_text() == "irreplaceable"


def test_a_link_among_the_days_is_not_followed(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    write_day(out, "a", "2026-11-01")
    elsewhere.mkdir()
    (elsewhere / "scores.csv").write_text("irreplaceable")
    (out / "days/2026-11-02").symlink_to(elsewhere)
    with pytest.raises(RoundError, match="output-foreign"):
        write_day(out, "b", "2026-11-03")
    assert (elsewhere / "scores.csv").read_text() == "irreplaceable"


def test_days_are_kept_where_the_disk_has_no_links(tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for name, day in (("a", "2026-11-01"), ("b", "2026-11-02")):
        write_day(tmp_path / "out", name, day)
    assert (tmp_path / "out/days/2026-11-01/scores.csv").read_text() == "a"


def test_only_results_that_keep_days_may_have_such_a_folder(tmp_path):
    (tmp_path / "out/days/2026-11-01").mkdir(parents=True)
    with pytest.raises(RoundError, match="output-foreign"):
        replace_folder(tmp_path / "out", {"scores.csv": text("a")}, known=("scores.csv",))


@posix
def test_a_pipe_or_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RoundError, match=r"a device or a pipe.*output-failed"):
        write_file(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
