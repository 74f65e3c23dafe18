"""Files: read and checked on the way in, written whole or not at all on the way out."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmc_gpu.method import Blend
    from mmc_gpu.round import Missing, OnError, Round


def open_round(
    folder: str | Path,
    *,
    missing: "Missing" = "error",
    on_error: "OnError" = "fail",
    blend: "Blend" = "raw",
) -> "Round":
    """Return the round in a folder, checked; `score_round` takes it.

    A packed round's predictions stay on disk and are read block by block.

    Args:
        folder: a round as `mmc-gpu score` takes it, packed or not; of a packed one a URI too, such
            as s3://bucket/round.
        missing: missing predictions are an error, or become the lower median of the user's present
            ones ("fill"); of a packed round decided when it was packed.
        on_error: a user's fault fails the round, or ("quarantine") keeps that user out of it.
        blend: what it will be scored with; stakers of a raw blend must keep to [0, 1].

    Raises:
        RoundError: the round cannot be read or used.
    """
    from mmc_gpu.files.places import place_of  # pyarrow: 0.1 s that an import can do without
    from mmc_gpu.files.round_folder import read_round

    return read_round(place_of(folder), missing=missing, on_error=on_error, blend=blend).round
