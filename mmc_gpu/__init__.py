"""Numerai's Meta Model Contribution for all users of a round at once: NumPy, CPU and GPU.

    scores = mmc_gpu.score_round(predictions, stakes, targets)
    scores.table                        # one row a user, best first
    scores.report("report.html")        # the same to look at, in a browser

`evaluate` scores models over eras, with today's scores; `open_round` opens a round larger than
memory; `mmc_gpu.metrics` has every score as a function. `mmc-gpu --help` is the command line.
"""

from pathlib import Path

from mmc_gpu.draws import draw_counts
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.evaluation import Evaluation, evaluate
from mmc_gpu.files import open_round
from mmc_gpu.scores import RoundScores
from mmc_gpu.scoring import score_round

__version__ = "0.1.0"

__all__ = [
    "EngineUnavailable",
    "Evaluation",
    "RoundError",
    "RoundScores",
    "draw_counts",
    "evaluate",
    "load_engine",
    "open_round",
    "score_round",
]

_here = Path(__file__).parent
if not (_here / "kernels").is_dir():  # a checkout or an editable install: beside the package
    __path__.append(str(_here.parent))
