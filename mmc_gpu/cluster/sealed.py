"""Sealed blocks: arrays as bytes that carry their sha256, the same on the wire and on disk."""

import hashlib
import io
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.errors import RoundError

Arrays = Mapping[str, Any]

_DIGITS = 64


def seal(key: str, name: str, arrays: Arrays) -> bytes:
    """Return a block's arrays as bytes, led by the sha256 of them and of what they are."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = buffer.getvalue()
    return _sha256(key, name, data) + data


def unseal(key: str, name: str, sealed: bytes) -> Arrays:
    """Return the arrays.

    Raises:
        RoundError: file-damaged: they are not whole, or those of another block or job.
    """
    digest, data = sealed[:_DIGITS], sealed[_DIGITS:]
    if _sha256(key, name, data) != digest:
        raise RoundError("file-damaged", f"block {name}: its sha256 is not the one it came with")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _sha256(key: str, name: str, data: bytes) -> bytes:
    return hashlib.sha256(f"{key} {name}\n".encode() + data).hexdigest().encode()


class Store:
    """The sealed blocks of one job in a folder, a file each.

    Many processes may write at once: a file appears whole. One that is not (the power failed) has
    a wrong seal and counts as absent.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self._key = folder, key
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, sealed: bytes) -> None:
        """Write a sealed block as it is.

        Raises:
            RoundError: output-failed.
        """
        beside = self.folder / f".{name}.new-{secrets.token_hex(4)}"
        try:
            beside.write_bytes(sealed)
            beside.replace(self.folder / name)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise RoundError("output-failed", f"{str(beside)!a}: {error.strerror}") from error

    def find(self, name: str) -> Arrays | None:
        """Return a block's arrays; None where there is none that is whole."""
        try:
            return unseal(self._key, name, (self.folder / name).read_bytes())
        except (FileNotFoundError, RoundError):
            return None

    def take(self, name: str) -> Arrays:
        """Return the arrays of a block that has been written.

        Raises:
            RoundError: file-damaged: it is not there any more, or has changed.
        """
        found = self.find(name)
        if found is None:
            name = str(self.folder / name)
            raise RoundError("file-damaged", f"{name!a}: gone or changed since it was written")
        return found

    def remove(self) -> None:
        """Remove the blocks, and the folder if nothing else is in it."""
        for path in list(self.folder.iterdir()):
            if path.name.lstrip(".").startswith(
                ("job", "blend-", "score-", "eras-", "meta_models")
            ):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
