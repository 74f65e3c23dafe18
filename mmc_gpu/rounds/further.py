"""A round's scores beside the bootstrap: numbers, why some are missing, and a digest."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import CODES
from mmc_gpu.rounds.canonical import canonical, name_bytes

EVERY = "*"
"""Stands for the user, or the target, in a fault that concerns all."""

_VERSION = "mmc_gpu further scores 1"


class FurtherFault(NamedTuple):
    """Why a user has no score: the target, the user ("*": all), a key of `CODES`, and details."""

    target: str
    user: str
    code: str
    detail: str


@dataclass(frozen=True, eq=False)
class FurtherScores:
    """Scores of a round beside the bootstrap.

    Attributes:
        asked: the names that were asked for.
        values: (T, U) by the score's name; NaN where a fault says why. Scores that need no target
            are the same for each.
        faulted: the names of the scores that are missing, by the fault that explains it.
    """

    asked: list[str]
    values: dict[str, Floats]
    faulted: dict[FurtherFault, list[str]]

    def digest(self, targets: Sequence[str], users: Sequence[str]) -> str:
        """Return sha256 over the canonical bytes of the scores, in the style of `Scores.digest`.

        A version line; the names of the scores, sorted, as JSON; then for each target by name: its
        name, and for each user by name the sha256 of the name and of the scores by name.

        Args:
            targets: (T,) names.
            users: (U,) names.
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

    def notes(self) -> list[str]:
        """Return in words which scores are missing."""
        return [
            f"no {', '.join(names)} for target {target}, user {user}: {detail}"
            for (target, user, _, detail), names in self.faulted.items()
        ]

    def fault_columns(self) -> dict[str, list[Any]]:
        """Return the columns of a table: one row for each target, user and reason."""
        faults = list(self.faulted)
        return {
            "target": [fault.target for fault in faults],
            "user": [fault.user for fault in faults],
            "scores": [", ".join(names) for names in self.faulted.values()],
            "code": [fault.code for fault in faults],
            "detail": [fault.detail for fault in faults],
            "remedy": [CODES[fault.code].remedy for fault in faults],
        }
