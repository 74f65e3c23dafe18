"""A round as a folder: targets, stakes, and predictions or submissions/, as Parquet or CSV."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.arrays import Numbers
from mmc_gpu.columns import numbers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.tables import SUFFIXES, Limits, TableFile, open_table
from mmc_gpu.frames import check_header, named_columns
from mmc_gpu.method import Blend
from mmc_gpu.names import LARGEST_MISSING_SHARE, align, as_ids, check_ids, first_ids
from mmc_gpu.round import Missing, OnError, Round, build_round
from mmc_gpu.scoring import Progress
from mmc_gpu.stakes import take_stakes_table
from mmc_gpu.submissions import Submissions, collect
from mmc_gpu.targets import Targets, take_targets


class RoundFiles(NamedTuple):
    """A round, and the files it was read from: file, bytes and sha256 of each."""

    round: Round
    inputs: list[dict[str, Any]]


def read_round(
    folder: Path,
    *,
    missing: Missing = "error",
    on_error: OnError = "quarantine",
    blend: Blend = "raw",
    progress: Progress | None = None,
) -> RoundFiles:
    """Return the round in a folder.

    Args:
        folder: holds `targets`, `stakes`, and `predictions` or `submissions/`.
        missing: see `build_round`.
        on_error: see `build_round`.
        blend: see `build_round`.
        progress: called as submissions are read.

    Raises:
        RoundError: the folder, or a file that all users share, cannot be read or used.
    """
