"""Compiled kernels on disk: each in one file, after the sha256 of what follows and of its sources.

What does not fit its sha256 was damaged, or compiled from another source: it is compiled anew. What
cannot be written stays in memory. A file takes its place at once, so processes may share a folder.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_SUFFIX = ".code"


def kernels_are_kept() -> bool:
    """Return whether compiled kernels lie where they are kept.

    They may be of another version or processor. Then they are compiled once more.
    """
    return any(any(folder.glob(f"*.rank_rows.*{_SUFFIX}")) for folder in _folders())


def kept_code(name: str, sources: Sequence[str], processor: tuple[str, ...]) -> bytes | None:
    """Return the code of a kernel; None if it is not kept, or not as it was written.

    Args:
        name: the kernel's.
        sources: the files that it was compiled from.
        processor: what it was compiled for, and by.
    """
    for folder in _folders():
        with suppress(OSError):
            data = (folder / _file_name(name, processor)).read_bytes()
            if data[:32] == _seal(data[32:], sources):
                return data[32:]
    return None


def keep_code(name: str, sources: Sequence[str], processor: tuple[str, ...], code: bytes) -> None:
    """Write the code of a kernel into the first folder that takes it; see `kept_code`."""
    for folder in _folders():
        path = folder / _file_name(name, processor)
        whole = path.with_suffix(f".{os.urandom(8).hex()}.tmp")
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                whole.write_bytes(_seal(code, sources) + code)
                whole.replace(path)
                return
            finally:
                whole.unlink(missing_ok=True)


def _folders() -> list[Path]:
    """Return where kernels may be kept: NUMBA_CACHE_DIR, or beside their source, or in the home."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(named, "mmc_gpu")]
    home = os.path.expanduser("~/.cache")  # noqa: PTH111  Path's raises where there is no home
    users = Path(os.environ.get("XDG_CACHE_HOME") or home, "mmc_gpu")
    return [Path(__file__).parent / "__pycache__", users]


def _file_name(name: str, processor: tuple[str, ...]) -> str:
    return f"{name}.{sha256(repr(processor).encode()).hexdigest()[:16]}{_SUFFIX}"


def _seal(code: bytes, sources: Sequence[str]) -> bytes:
    return sha256(b"".join([*(Path(source).read_bytes() for source in sources), code])).digest()
