"""Sealed blocks: arrays as bytes that carry their sha256, the same on the wire and on disk."""

import hashlib
import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.errors import RoundError

Arrays = Mapping[str, Any]

_DIGITS = 64


def seal(label: str, arrays: Arrays) -> bytes:
    """Return arrays as bytes, led by the sha256 of them and of what they are."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = buffer.getvalue()
    return _sha256(label, data) + data


def unseal(label: str, sealed: bytes) -> Arrays:
    """Return the arrays.

    Raises:
        RoundError: file-damaged: they are not whole, or those of something else.
    """
    digest, data = sealed[:_DIGITS], sealed[_DIGITS:]
    if _sha256(label, data) != digest:
        raise RoundError("file-damaged", f"{label}: its sha256 is not the one it came with")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _sha256(label: str, data: bytes) -> bytes:
    return hashlib.sha256(label.encode() + b"\n" + data).hexdigest().encode()


class Store:
    """The sealed blocks of one job in a folder of files, named by what they are.

    Many processes may write at once: a file appears whole. One that is not (a lost power supply)
    has a wrong seal and counts as absent.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self._key = folder, key
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, arrays: Arrays) -> None:
        """Write a block."""
        self.write(name, seal(self.label(name), arrays))

    def label(self, name: str) -> str:
        """Return what a block's seal says it is."""
        return f"{self._key} {name}"

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

    def get(self, name: str) -> Arrays | None:
        """Return a block's arrays; None where there is none that is whole."""
        try:
            return unseal(self.label(name), (self.folder / name).read_bytes())
        except (FileNotFoundError, RoundError):
            return None

    def remove(self) -> None:
        """Remove the blocks, and the folder if nothing else is in it."""
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if name.lstrip(".").startswith(("blend-", "score-", "meta_models")):
                (self.folder / name).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
