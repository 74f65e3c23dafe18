"""Sealed blocks: arrays as bytes, led by a sha256; the same on the wire and on disk."""

import hashlib
import json
import re
import secrets
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.writing.replace import failing

Arrays = Mapping[str, Any]

_DIGEST = 32

_OURS = re.compile(r"\.?((blend|score|eras)-\d{6}|meta_models|job\.json)(\.new-[0-9a-f]{8})?")
"""Names of our files in a store, complete or half written: blocks, meta models, the job."""


def seal(key: str, name: str, arrays: Arrays) -> bytes:
    """Return a block's arrays as bytes.

    The bytes are: a sha256 of the key, the name and all that follows; the length of a JSON header
    (u32le); the header, with the arrays' dtypes and shapes; the arrays. np.savez takes 4 times as
    long.
    """
    own = {of: np.asarray(values) for of, values in arrays.items()}
    header = json.dumps({of: (values.dtype.str, values.shape) for of, values in own.items()})
    header += " " * (-(4 + len(header)) % 8)  # numbers lie aligned
    rest = [values.tobytes() for values in own.values()]
    data = b"".join([struct.pack("<I", len(header)), header.encode(), *rest])
    return _sha256(key, name, data) + data


def unseal(key: str, name: str, sealed: bytes) -> Arrays:
    """Return the arrays of a sealed block; they are read-only.

    Raises:
        RoundError: file-damaged: the block is damaged, or belongs to another job or name.
    """
    data = memoryview(sealed)[_DIGEST:]
    if _sha256(key, name, data) != sealed[:_DIGEST]:
        raise RoundError("file-damaged", f"block {name}: its sha256 is not the one it came with")
    at = 4 + struct.unpack_from("<I", data)[0]
    arrays = {}
    for of, (kind, shape) in json.loads(bytes(data[4:at])).items():
        values = np.ndarray(shape, kind, data, at)
        arrays[of], at = values, at + values.nbytes
    return arrays


def _sha256(key: str, name: str, data: bytes | memoryview) -> bytes:
    sha = hashlib.sha256(f"{key} {name}\n".encode())
    sha.update(data)
    return sha.digest()


class Store:
    """The sealed blocks of one job in a folder, a file each.

    Many processes may write at once, for a file appears whole. A file that is not whole all the
    same (the power failed) has a wrong seal and counts as absent.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self._key = folder, key
        with failing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def refuse_foreign(self) -> None:
        """Raise output-foreign where the folder holds anything but blocks."""
        names = sorted(path.name for path in self.folder.iterdir())
        if foreign := [name for name in names if not _OURS.fullmatch(name)]:
            raise RoundError("output-foreign", f"{str(self.folder)!a} holds {shown(foreign)}")

    def write(self, name: str, sealed: bytes) -> None:
        """Write a sealed block as it is."""
        beside = self.folder / f".{name}.new-{secrets.token_hex(4)}"
        with failing(self.folder):
            beside.write_bytes(sealed)
            beside.replace(self.folder / name)

    def find(self, name: str) -> Arrays | None:
        """Return a block's arrays; None where the block is absent or not whole."""
        path = self.folder / name
        try:
            return unseal(self._key, name, path.read_bytes()) if path.is_file() else None
        except RoundError:
            return None

    def take(self, name: str) -> Arrays:
        """Return the arrays of a block that has been written.

        Raises:
            RoundError: file-damaged: the block is not there any more, or has changed.
        """
        if (found := self.find(name)) is None:
            path = str(self.folder / name)
            raise RoundError("file-damaged", f"{path!a}: gone or changed since it was written")
        return found

    def remove(self) -> None:
        """Remove the blocks, and the folder if nothing else is in it."""
        for path in list(self.folder.iterdir()):
            if _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
