"""Results written whole or not at all: beside their place, then moved into it.

Whoever reads a result, whatever is killed or fails at any moment, finds the previous one or the new
one, never parts of either. While `out` is written, the new files lie in `.out.new-XXXXXXXX` beside
it. Where the system cannot swap two folders at once, `out` is first renamed to `.out.old-XXXXXXXX`:
a process that is killed at that very moment leaves the previous result there, whole, and the next
call first puts it back. The next call also removes what killed calls have left.
"""

import errno
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.places import as_path
from mmc_gpu.files.system import exchange, hint_of, locked, move, sync_folder

Write = Callable[[BinaryIO], object]
"""Writes a file's contents into an open file."""


def write_file(path: str | Path, data: bytes) -> Path:
    """Write bytes to a file, replacing the one of that name at one instant; return its path.

    A killed call leaves `.NAME.new-XXXXXXXX` beside it.

    Raises:
        RoundError: output-failed; a previous file is still whole.
    """
    path = as_path("path", path)
    with failing(path):
        if path.exists() and not (path.is_file() or path.is_dir()):  # /dev/null would be gone
            raise OSError(errno.EEXIST, "a device or a pipe is there")
        beside = _beside(path, "new")
        try:
            _write(beside, lambda file: file.write(data))
            move(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    return path


DAYS = "days"
"""The folder in a result that keeps what earlier days had: a folder a day, of files that are known.
Only where "days/" is among the known names."""


def replace_folder(
    path: Path,
    files: Mapping[str, Write],
    known: Collection[str],
    seal: str | None = None,
    day: str | None = None,
) -> None:
    """Write a folder of files, replacing the one of that name, if any, at one instant.

    Of several calls at once the last one to finish wins, whole.

    Args:
        path: the folder; those above it are made.
        files: what writes each file, by name.
        known: names that an earlier call may have written. Only files of these names, and of the
            names in `files`, are ever removed.
        seal: the name of a file that every earlier call has written. Where it is missing, files of
            known names belong to somebody else.
        day: under which name the new files are kept in days/, too; None for no day. What lies there
            stays, but for the folder of this day.

    Raises:
        RoundError: output-foreign, before anything is written, where the path is no folder or the
            folder holds anything else; output-failed. The previous folder is still whole.
    """
    path = path.absolute()  # "." has no name
    removable = frozenset({*known, *files})
    with failing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _new_folder(path, removable, seal) as beside:
            for name, write in files.items():
                _write(beside / name, write)
            sync_folder(beside)
            with locked(path.parent):
                refuse_foreign(path, removable, seal)  # nobody has put a file there meanwhile
                _keep_days(path / DAYS, beside, day)
                previous = _swap(beside, path)
                sync_folder(path.parent)
                if previous:
                    with suppress(OSError):  # the results are in place; the next call tries again
                        _remove(previous, removable)


def _keep_days(earlier: Path, beside: Path, day: str | None) -> None:
    """Link the files of earlier days into a new folder, and its own as those of a day."""
    kept = {folder.name: folder for folder in earlier.iterdir()} if earlier.is_dir() else {}
    if day is not None:
        kept[day] = beside
    for name, folder in sorted(kept.items()):
        into = beside / DAYS / name
        into.mkdir(parents=True)
        for file in sorted(folder.iterdir()):
            if file.is_file():
                _link(file, into / file.name)
        sync_folder(into)


def _link(file: Path, to: Path) -> None:
    """Give a file a second name; copy it where the file system has no links."""
    try:
        to.hardlink_to(file)
    except OSError:
        _write(to, lambda opened: opened.write(file.read_bytes()))


def _beside(path: Path, kind: str) -> Path:
    return path.parent / f".{path.name}.{kind}-{secrets.token_hex(4)}"


def _write(path: Path, write: Write) -> None:
    with path.open("xb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _new_folder(path: Path, removable: frozenset[str], seal: str | None) -> Iterator[Path]:
    """Make a folder beside `path`; it stays locked until it is in its place, or removed again."""
    with ExitStack() as stack:
        with locked(path.parent):
            _repair(path, removable)
            refuse_foreign(path, removable, seal)
            beside = _beside(path, "new")
            beside.mkdir()
            stack.enter_context(locked(beside))
        try:
            yield beside
        except BaseException:
            with suppress(OSError):
                _remove(beside, removable)
            raise


def clear_up(path: Path, known: Collection[str]) -> None:
    """Remove what killed calls have left beside a folder that needs no other one."""
    with suppress(OSError), locked(path.absolute().parent):
        _repair(path.absolute(), frozenset(known))


def _repair(path: Path, removable: frozenset[str]) -> None:
    """Repair and remove what killed calls have left; the parent folder is locked."""
    moved = _leftovers(path, "old")
    if moved and not path.exists():
        move(moved.pop(), path)
    for folder in moved + _leftovers(path, "new"):
        with suppress(OSError), locked(folder, wait=False) as dead:
            if dead and not _foreign(folder, removable):
                _remove(folder, removable)


def _leftovers(path: Path, kind: str) -> list[Path]:
    """Return the folders that calls have made beside `path`, the latest last."""
    name = re.compile(rf"\.{re.escape(path.name)}\.{kind}-[0-9a-f]{{8}}")
    with os.scandir(path.parent) as entries:  # beside a round of a thousand lie the others
        found = [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]
    folders = [entry for entry in found if entry.is_dir() and not entry.is_symlink()]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)


def refuse_foreign(path: Path, known: Collection[str], seal: str | None) -> None:
    """Raise output-foreign where `replace_folder` would not replace a folder, if it is there."""
    with failing(path):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise RoundError("output-foreign", f"{str(path)!a} is not a folder")
        if not path.exists():
            return
        if foreign := _foreign(path, frozenset(known)):
            raise RoundError("output-foreign", f"{str(path)!a} holds {shown(foreign)}")
        found = _foreign(path, frozenset())
        if found and seal is not None and seal not in found:
            raise RoundError("output-foreign", f"{str(path)!a} holds {shown(found)} and no {seal}")


def _foreign(folder: Path, removable: frozenset[str]) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not _is_known(entry, removable))


def _is_known(entry: "os.DirEntry[str]", removable: frozenset[str]) -> bool:
    if entry.name != DAYS or f"{DAYS}/" not in removable:
        return entry.name in removable and entry.is_file(follow_symlinks=False)
    return entry.is_dir(follow_symlinks=False) and all(
        day.is_dir() and not day.is_symlink() and not _foreign(day, removable - {f"{DAYS}/"})
        for day in Path(entry.path).iterdir()
    )


def _swap(beside: Path, path: Path) -> Path | None:
    """Move a new folder into its place; return where the previous one, if any, lies now."""
    if not path.exists():
        move(beside, path)
        return None
    if exchange(beside, path):
        return beside
    previous = _beside(path, "old")
    move(path, previous)
    # killed here: no folder of that name, the previous one whole beside it (see the module's text)
    try:
        move(beside, path)
    except BaseException:
        move(previous, path)
        raise
    return previous


def _remove(folder: Path, removable: frozenset[str]) -> None:
    """Remove a folder's known files, then the folder; fail if it holds anything else."""
    for entry in list(folder.iterdir()):
        if entry.name == DAYS and f"{DAYS}/" in removable:
            for day in entry.iterdir():
                _remove(day, removable - {f"{DAYS}/"})
            entry.rmdir()
        elif entry.name in removable:
            entry.unlink()
    folder.rmdir()


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Raise output-failed where writing to a path fails."""
    if "\0" in str(path):
        raise RoundError("output-failed", f"{str(path)!a}: no path has a NUL")
    try:
        yield
    except OSError as error:
        said = f"{str(path)!a}: {error.strerror or error}{hint_of(error, path)}"
        raise RoundError("output-failed", said) from error
