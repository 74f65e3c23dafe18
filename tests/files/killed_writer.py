"""Run by test_killed.py: kill -9 before every line of replace_folder, and look at what is left.

    python killed_writer.py FOLDER

A process of its own, with one thread, because it forks: once for each line that the call goes
through. Prints a line for each way in which the folders change places, and for a first result:
how often it was killed, and what was found.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from mmc_gpu.files import system
from mmc_gpu.files.writing import replace as writing
from mmc_gpu.files.writing.replace import replace_folder

CODE = {system.__file__, writing.__file__}
OLD = {"scores.csv": "old" * 9000, "receipt.json": "old"}
NEW = {"scores.csv": "new" * 9000, "report.html": "new"}


def write(folder: Path, files: dict[str, str]) -> None:
    writers = {
        name: lambda file, text=text: file.write(text.encode()) for name, text in files.items()
    }
    replace_folder(folder, writers, OLD.keys() | NEW.keys())


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def killed_before(line: int, folder: Path) -> bool:
    """Write NEW in a process that is killed before its n-th line; return whether it got there."""
    child = os.fork()
    if not child:
        left = line

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in CODE:
                return None
            if event == "line":
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        write(folder, NEW)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def main(parent: Path, way: str, previous: bool, first: int = 1) -> int:
    """Kill before the first line and each one after it; return how often the old one was found."""
    os.fsync = lambda handle: None  # slow, and what is written survives a kill without it
    if way == "renamed":
        writing.exchange = lambda first, second: False  # type: ignore[assignment]
    parent.mkdir()
    out = parent / "out"
    seen: dict[str, int] = {"old": 0, "new": 0, "aside": 0, "none": 0}
    line, killed = first - 1, True
    while killed:
        line += 1
        if previous:
            out.mkdir()
            for name, text in OLD.items():
                (out / name).write_text(text)
        killed = killed_before(line, out)
        aside = list(parent.glob(".out.old-*"))
        if out.exists():
            found = contents(out)
            assert found == NEW or (previous and found == OLD), found.keys()
            seen["new" if found == NEW else "old"] += 1
        elif previous:
            assert [contents(folder) for folder in aside] == [OLD]
            seen["aside"] += 1
        else:
            assert not aside
            seen["none"] += 1
        write(out, NEW)  # the next call: works, and leaves nothing behind
        assert contents(out) == NEW
        assert [path.name for path in parent.iterdir()] == ["out"]
        for path in out.iterdir():
            path.unlink()
        out.rmdir()
    print(line - first, *seen.values())
    return seen["old"]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    before = main(folder / "swapped", "swapped", True)
    main(folder / "first", "swapped", False)
    main(folder / "renamed", "renamed", True, before - 20)  # the lines before are the same
