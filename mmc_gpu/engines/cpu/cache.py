"""Compiled kernels on disk: one file for each, sealed by its sha256, or none at all.

numba's own files have no checksum: one that was cut short stops every later process, and a flipped
bit may run as wrong code. So these are numba's cache with files of our own. A file is written
beside its place and moved there at once, so processes may read and write it at the same time. What
cannot be written stays in memory, and what does not fit its seal is removed and compiled anew.
"""

import pickle
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

_SEAL = 32
"""Bytes of a sha256; they come first in a file."""


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Where a kernel's compiled code is found, and where it is kept."""

    def __init__(self, function: Any) -> None:
        """Find a folder for the function's code, as numba does.

        Raises:
            RuntimeError: there is no folder that can be written to ("cannot cache function").
        """
        super().__init__(function)
        locator = self._impl.locator
        name = Path(locator.get_cache_path(), self._impl.filename_base)
        self._cache_file = _SealedFiles(name, locator.get_source_stamp())

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the code for a signature, or None where there is none that can be trusted."""
        with suppress(OSError):
            return super().load_overload(signature, target)
        return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep the code for later processes, where there is room for it."""
        with suppress(OSError):
            super().save_overload(signature, code)


class _SealedFiles:
    """One kernel's files: one for each signature, kind of processor and compiler."""

    def __init__(self, name: Path, source: Any) -> None:
        self._name, self._source = name, source

    def load(self, key: tuple[Any, Any, Any]) -> Any:
        """Return what was saved under a key, or None; remove a file that does not fit its seal."""
        path = self._path(key)
        data = path.read_bytes()
        seal, contents = data[:_SEAL], data[_SEAL:]
        if sha256(contents).digest() != seal:
            path.unlink()
            return None
        stamp, code = pickle.loads(contents)
        return code if stamp == (self._source, key[2]) else None

    def save(self, key: tuple[Any, Any, Any], code: Any) -> None:
        """Write what `load` returns, whole or not at all."""
        path = self._path(key)
        contents = dumps(((self._source, key[2]), code))
        beside = path.with_name(f"{path.name}.tmp.{secrets.token_hex(8)}")
        try:
            beside.write_bytes(sha256(contents).digest() + contents)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def _path(self, key: tuple[Any, Any, Any]) -> Path:
        """Return the file for a key: a signature, a processor, and a hash of the function."""
        signature, processor, _ = key
        compilers = numba.__version__, llvmlite.__version__
        short = sha256(repr((compilers, signature, processor)).encode()).hexdigest()[:16]
        return self._name.with_name(f"{self._name.name}-{short}.nbc")
