"""What Windows lacks and how it treats paths, on another system: `pytest --windows`.

Calls that Windows does not have are hidden. An audit hook, which Python asks before each call,
refuses what Windows refuses: to open a folder, to move or remove what is open, and names
that it does not allow. Not shown: its own locks, its console, drives.
"""

import errno
import os
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

_MISSING = {
    "os": (
        "O_NOFOLLOW", "O_DIRECTORY", "sched_getaffinity", "sched_setaffinity",
        "mkfifo", "fork", "pread", "preadv", "pwrite", "statvfs", "killpg", "register_at_fork",
    ),
    "mmap": ("MAP_PRIVATE", "MAP_SHARED", "MAP_ANONYMOUS", "PROT_READ", "PROT_WRITE"),
    "signal": ("SIGKILL", "SIGALRM", "SIGHUP", "setitimer", "alarm", "pthread_kill"),
}  # fmt: skip
_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "posix_ipc")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
_LONGEST = 259
_ROOTS: list[str] = []


def hide(below: Path) -> None:
    """Hide what Windows lacks; below a folder its rules for paths hold."""
    for library in ("filelock", "polars"):  # they use it where they are imported
        with suppress(ImportError):
            __import__(library)
    for module in _MODULES:
        sys.modules[module] = None  # type: ignore[assignment]
    for module, names in _MISSING.items():
        for name in names:
            if hasattr(sys.modules.get(module) or __import__(module), name):
                delattr(sys.modules[module], name)
    shutil._use_fd_functions = False  # type: ignore[attr-defined]  rmtree without handles of folders
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[misc,assignment]
    if not _ROOTS:
        sys.addaudithook(_refuse)
    _ROOTS.append(str(below))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    paths = [_path_of(argument) for argument in arguments[:2]]
    if event == "open" and paths[0]:
        mode, flags = arguments[1:]
        _refuse_name(paths[0])
        if mode is None and Path(paths[0]).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", paths[0])
        if isinstance(flags, int) and flags & os.O_CREAT and flags & os.O_EXCL:
            _refuse_other_case(paths[0])
    elif event == "os.mkdir" and paths[0]:
        _refuse_name(paths[0])
        _refuse_other_case(paths[0])
    elif event in ("os.remove", "os.rmdir") and paths[0]:
        _refuse_open(paths[0])
    elif event == "os.rename" and all(paths):
        _refuse_name(paths[1])
        for path in paths:
            _refuse_open(path)
        if Path(paths[1]).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", paths[1])


def _path_of(argument: object) -> str:
    """Return an argument that is a path below the folder where Windows' rules hold; else ""."""
    if isinstance(argument, bytes):
        argument = os.fsdecode(argument)
    if not isinstance(argument, str | os.PathLike):
        return ""
    path = os.path.abspath(os.fspath(argument))  # noqa: PTH100  links stay
    if path.startswith(os.environ.get("TMPDIR", os.devnull) + os.sep):
        return ""  # the locks, which are another system's
    return path if any(path.startswith(root + os.sep) for root in _ROOTS) else ""


def _refuse_name(path: str) -> None:
    root = max((root for root in _ROOTS if path.startswith(root)), key=len)
    for name in Path(path).relative_to(root).parts:
        if _RESERVED.fullmatch(name) or re.search(r'[<>:"|?*\\\x00-\x1f]|[. ]$', name):
            raise OSError(errno.EINVAL, "Invalid argument", path)
    if len(path) - len(root) > _LONGEST:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)


def _refuse_other_case(path: str) -> None:
    folder, name = Path(path).parent, Path(path).name
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    if any(n != name and n.casefold() == name.casefold() for n in names):
        raise FileExistsError(errno.EEXIST, "File exists", path)


def _refuse_open(path: str) -> None:
    """Raise PermissionError where this process has a path open, or something in it."""
    opened = Path("/proc/self/maps").read_text()
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            opened += f" {handle.readlink()}\n"
    if any(f" {path}{end}" in opened for end in ("\n", os.sep)):
        raise PermissionError(errno.EACCES, "The file is used by a process", path)
