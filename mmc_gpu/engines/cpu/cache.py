"""Compiled kernels on disk: each in one file, after the sha256 of what follows.

numba's own files have no checksum: one that was cut short stops every later process, and a flipped
bit may run as wrong code. What does not fit its sha256 is removed and compiled anew; what cannot be
written stays in memory. A file takes its place at once, so processes may share a folder.
"""

import pickle
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_COMPILERS = numba.__version__, llvmlite.__version__


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Where a kernel's compiled code is looked for, and kept."""

    def __init__(self, function: Any) -> None:
        """Find a folder as numba does; RuntimeError ("cannot cache function") where none can be."""
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _SealedFiles(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, signature: Any, target: Any) -> Any:
        with suppress(OSError):
            return super().load_overload(signature, target)

    def save_overload(self, signature: Any, code: Any) -> None:
        with suppress(OSError):
            super().save_overload(signature, code)


class _SealedFiles(IndexDataCacheFile):  # type: ignore[misc]
    """A kernel's files: one for each signature, kind of processor and compiler, without an index.

    A key is a signature, a processor and a hash of the function.
    """

    def load(self, key: tuple[Any, Any, Any]) -> Any:
        path = self._path(key)
        data = path.read_bytes()
        seal, contents = data[:32], data[32:]
        if sha256(contents).digest() != seal:
            path.unlink()
            return None
        source, code = pickle.loads(contents)
        return code if source == (self._source_stamp, key[2]) else None

    def save(self, key: tuple[Any, Any, Any], code: Any) -> None:
        contents = self._dump(((self._source_stamp, key[2]), code))
        with self._open_for_write(self._path(key)) as file:
            file.write(sha256(contents).digest() + contents)

    def _path(self, key: tuple[Any, Any, Any]) -> Path:
        short = sha256(repr((_COMPILERS, key[:2])).encode()).hexdigest()[:16]
        return Path(self._cache_path, self._index_name).with_suffix(f".{short}.nbc")
