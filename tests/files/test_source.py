import errno
import hashlib
import os
import socket

import pytest
from systems import ROOT, posix

from mmc_gpu.files.formats import source
from mmc_gpu.files.formats.source import open_source, read_source


def test_a_source_is_the_files_bytes_and_their_sha256(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,prediction\n")
    read = read_source(path)
    assert (read.path, read.data, read.size) == (path, b"id,prediction\n", 14)
    assert read.sha256 == hashlib.sha256(b"id,prediction\n").hexdigest()


def test_an_empty_file_is_read(tmp_path):
    (tmp_path / "empty.csv").touch()
    assert read_source(tmp_path / "empty.csv").data == b""


def test_a_missing_file_is_named(tmp_path, refused):
    assert "gone.csv" in refused("file-missing", read_source, tmp_path / "gone.csv")


def test_a_file_used_as_a_folder_is_missing(tmp_path, refused):
    (tmp_path / "file").touch()
    refused("file-missing", read_source, tmp_path / "file" / "a.csv")


def test_a_symbolic_link_is_refused(tmp_path, refused):
    (tmp_path / "real.csv").write_bytes(b"id,prediction\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    refused("file-regular", read_source, tmp_path / "link.csv")


def test_a_dangling_link_is_refused_as_a_link(tmp_path, refused):
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone.csv")
    refused("file-regular", read_source, tmp_path / "link.csv")


def test_a_file_in_a_linked_folder_is_read(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_source(tmp_path / "link" / "a.csv").data == b"x"


def test_a_folder_is_refused(tmp_path, refused):
    refused("file-regular", read_source, tmp_path)


@posix
def test_a_pipe_without_a_writer_is_refused_at_once(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.csv")
    refused("file-regular", read_source, tmp_path / "pipe.csv")


@posix
def test_a_pipe_with_a_writer_is_refused_unread(tmp_path, refused):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    try:
        os.write(writer, b"id")
        refused("file-regular", read_source, path)
        assert os.read(reader, 2) == b"id"
    finally:
        os.close(writer)
        os.close(reader)


@posix
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
def test_a_device_is_refused(device, refused, tmp_path):
    refused("file-regular", read_source, type(tmp_path)(device))


@posix
def test_a_socket_is_refused(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may have 108 characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.csv")
        refused("file-regular", read_source, tmp_path / "socket.csv")


@posix
def test_a_name_that_cannot_be_opened_says_why(tmp_path, refused):
    assert "too long" in refused("file-unreadable", read_source, tmp_path / ("n" * 300))


@posix
@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path, refused):
    (tmp_path / "a.csv").touch(mode=0)
    assert "Permission denied" in refused("file-unreadable", read_source, tmp_path / "a.csv")


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
def test_a_fault_of_the_machine_is_no_fault_of_a_file(tmp_path, monkeypatch, code):
    def refusing(*_):
        raise OSError(code, "the system refuses")

    monkeypatch.setattr(source, "open_itself", refusing)
    for read in (read_source, open_source):
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            read(tmp_path / "a.csv", place="submissions/a.csv")
        assert (caught.value.errno, caught.value.filename) == (code, "submissions/a.csv")


def test_a_hash_that_has_no_memory_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_bytes(b"x")

    def refusing(_):
        raise MemoryError

    monkeypatch.setattr(source, "memoryview", refusing, raising=False)
    with pytest.raises(MemoryError):
        open_source(tmp_path / "a.csv").entry("a.csv")


def test_a_file_above_the_limit_is_refused_unread(tmp_path, refused):
    path = tmp_path / "sparse.csv"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "1,099,511,627,776 bytes" in refused("file-size", read_source, path)


def test_a_file_at_the_limit_is_read(tmp_path, refused):
    path = tmp_path / "a.csv"
    path.write_bytes(b"12345")
    for read in (read_source, open_source):
        assert read(path, 5).size == 5
        refused("file-size", read, path, 4)


@pytest.mark.parametrize("size", [0, 10, 99_999, 100_001, 300_000])
def test_a_file_that_changes_size_while_it_is_read_is_refused(tmp_path, refused, monkeypatch, size):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * 100_000)
    real = os.fstat

    def stat_then_resize(handle):
        found = real(handle)
        os.truncate(path, size)
        return found

    monkeypatch.setattr(source.os, "fstat", stat_then_resize)
    assert "100,000 bytes" in refused("file-damaged", read_source, path)


def test_a_file_that_is_rewritten_while_it_is_read_is_refused(tmp_path, refused, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * 100_000)
    os.utime(path, ns=(0, 0))
    real = os.fstat

    def stat_then_rewrite(handle):
        found = real(handle)
        path.write_bytes(b"y" * 100_000)
        return found

    monkeypatch.setattr(source.os, "fstat", stat_then_rewrite)
    refused("file-damaged", read_source, path)


@posix
def test_a_name_cannot_reach_the_terminal(tmp_path, refused):
    detail = refused("file-missing", read_source, tmp_path / "\x1b[2J\u202e.csv")
    assert detail.isascii()
    assert detail.isprintable()
