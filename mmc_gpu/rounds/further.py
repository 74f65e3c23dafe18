"""A round's scores beside the bootstrap; and names and numbers as the bytes of all digests."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import CODES

EVERY = "*"  # stands for the user, or the target, in a fault that concerns all

_VERSION = "mmc_gpu further scores 1"
_NAN = 0x7FF8000000000000


class FurtherFault(NamedTuple):
    """Why a user has no score: the target, the user, a key of `CODES`, and what was found."""

    target: str
    user: str
    code: str
    detail: str


@dataclass(frozen=True, eq=False)
class FurtherScores:
    """Scores of a round beside the bootstrap."""

    asked: list[str]  # the names that were asked for
    # (T, U) by the score's name, NaN where a fault says why; the same for each target where the
    # score needs none
    values: dict[str, Floats]
    faulted: dict[FurtherFault, list[str]]  # the names of missing scores, by what explains it
    ignored: tuple[str, ...] = ()  # what was ignored of the benchmarks, features and so on

    def add(self, fault: FurtherFault, name: str) -> None:
        """Note why a score is missing; what concerns all users is found more than once."""
        names = self.faulted.setdefault(fault, [])
        names += [] if name in names else [name]

    def digest(self, targets: Sequence[str], users: Sequence[str]) -> str:
        """Return sha256 over the canonical bytes of the scores, in the style of `Scores.digest`.

        A version line; the names of the scores, sorted, as JSON; then for each target by name: its
        name, and for each user by name the sha256 of the name and of the scores by name.
        """
        names = sorted(self.values)
        sha = hashlib.sha256(f"{_VERSION}\n{json.dumps(names)}\n".encode())
        for target in sorted(range(len(targets)), key=targets.__getitem__):
            sha.update(name_bytes(targets[target]))
            rows = canonical(np.stack([self.values[name][target] for name in names], axis=1))
            for user in sorted(range(len(users)), key=users.__getitem__):
                own = name_bytes(users[user]) + rows[user].tobytes()
                sha.update(hashlib.sha256(own).digest())
        return sha.hexdigest()

    def notes(self) -> tuple[str, ...]:
        """Return in words what was ignored, and which scores are missing."""
        return self.ignored + tuple(
            f"no {', '.join(names)} for target {target}, user {user}: {detail}"
            for (target, user, _, detail), names in self.faulted.items()
        )

    def fault_columns(self) -> dict[str, list[Any]]:
        """Return the columns of a table: one row for each target, user and reason."""
        faults = [(*fault, ", ".join(names)) for fault, names in self.faulted.items()]
        columns = [list(column) for column in zip(*faults, strict=True)] or [[] for _ in range(5)]
        named = dict(zip((*FurtherFault._fields, "scores"), columns, strict=True))
        return named | {"remedy": [CODES[code].remedy for code in named["code"]]}


def name_bytes(name: str) -> bytes:
    """Return a name as its length (u32le) and NFC UTF-8."""
    text = unicodedata.normalize("NFC", name).encode()
    return len(text).to_bytes(4, "little") + text


def canonical(values: Floats) -> Floats:
    """Return little-endian float64 with one zero and one NaN."""
    numbers = (values + 0.0).astype("<f8")
    numbers.view("<u8")[np.isnan(numbers)] = _NAN
    return numbers
