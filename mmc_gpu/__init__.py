"""Numerai's Meta Model Contribution for all users of a round at once: NumPy, CPU and GPU.

    scores = mmc_gpu.score_round(predictions, stakes, targets)
    scores.table                        # one row a user, best first
    scores.report("report.html")        # the same to look at, in a browser

`evaluate` scores models over eras, with today's scores; `open_round` opens a round larger than
memory; `mmc_gpu.metrics` has every score as a function, `mmc_gpu.training` metrics for LightGBM and
XGBoost. `mmc-gpu --help` is the command line.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmc_gpu.version import __version__ as __version__

if TYPE_CHECKING:
    from mmc_gpu.api import Evaluation, RoundScores, evaluate, open_round, score_round
    from mmc_gpu.engines import load_engine
    from mmc_gpu.eras import training
    from mmc_gpu.errors import EngineUnavailable, RoundError
    from mmc_gpu.files.results.history import history
    from mmc_gpu.files.results.own_score import verify
    from mmc_gpu.rounds.draws import draw_counts
    from mmc_gpu.rounds.full_stakes import leave_one_out, meta_model
    from mmc_gpu.rounds.rules import PayoutRule

__all__ = [
    "EngineUnavailable",
    "Evaluation",
    "PayoutRule",
    "RoundError",
    "RoundScores",
    "draw_counts",
    "evaluate",
    "history",
    "leave_one_out",
    "load_engine",
    "meta_model",
    "metrics",
    "open_round",
    "score_round",
    "training",
    "verify",
]

_ROOMS = {
    "mmc_gpu.api": ("Evaluation", "RoundScores", "evaluate", "open_round", "score_round"),
    "mmc_gpu.engines": ("load_engine",),
    "mmc_gpu.errors": ("EngineUnavailable", "RoundError"),
    "mmc_gpu.files.results.own_score": ("verify",),
    "mmc_gpu.files.results.history": ("history",),
    "mmc_gpu.rounds.rules": ("PayoutRule",),
    "mmc_gpu.rounds.draws": ("draw_counts",),
    "mmc_gpu.rounds.full_stakes": ("leave_one_out", "meta_model"),
}
"""Where the public names are: imported when one is asked for, so that an import costs nothing."""

_MODULES = {"metrics": "mmc_gpu.metrics", "training": "mmc_gpu.eras.training"}
"""The public modules."""


def __getattr__(name: str) -> Any:
    """Return a public name, imported now."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
