"""Seasons for the tests: results in folders, made without scoring anything, and read as rows."""

from datetime import date, timedelta

import numpy as np

from mmc_gpu.files.results.rounds import write_results
from mmc_gpu.rounds.draws import draw_counts
from mmc_gpu.rounds.further import FurtherScores
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.title import RoundTitle

FURTHER = ["numerai_corr", "correlation_contribution"]


def make_scores(number, users, seed=0, day=0, targets=("target",), further=True, title=True):
    """Return made-up scores of a round; some users have no stake, some no further score."""
    rng = np.random.default_rng([seed, number, day])
    size, shape = len(users), (len(targets), len(users))
    stakes = np.where(rng.random(size) < 0.9, np.exp(rng.normal(3, 2, size)), 0.0)
    stakes[0] = 5.0
    order = sorted(range(size), key=lambda user: (stakes[user] == 0, users[user]))
    stakes, users = stakes[order], [users[user] for user in order]
    mmc = rng.normal(0.002, 0.01, shape)
    values = {name: rng.normal(0.01, 0.03, shape) for name in FURTHER}
    count = int(np.count_nonzero(stakes))
    name = f"{number}" if isinstance(number, int) else number
    when = (date(2026, 1, 1) + timedelta(days=number + day)).isoformat()
    return Scores(
        method=Method(draws=3),
        engine="numpy",
        users=users,
        stakes=stakes,
        targets=list(targets),
        stocks=100,
        mmc=mmc,
        mmc_se=np.abs(rng.normal(0, 0.001, shape)),
        corr=mmc + rng.normal(0.01, 0.01, shape),
        corr_with_meta_model=rng.uniform(-0.1, 0.98, size),
        per_draw=None,
        meta_model_corr=rng.normal(0.02, 0.01, (len(targets), 3)),
        full_meta_model_corr=rng.normal(0.02, 0.01, len(targets)),
        counts=draw_counts(count, 3),
        filled=np.zeros(size, np.int64),
        quarantined=(Quarantined("empty", "file-empty", "no rows", "submissions/empty.csv", None),),
        notes=(),
        hashes=np.zeros((*shape, 32), np.uint8),
        title=RoundTitle.of(name, when) if title else None,
        further=FurtherScores(FURTHER, values, {}) if further else None,
    )


def write_round(results, scores, name=None, **options):
    """Write scores as the result of a round."""
    folder = results / (name or scores.title.round)
    write_results(folder, scores, [], {"missing": "error", "on_error": "quarantine"}, **options)
    return folder


def make_season(results, rounds=range(601, 631), size=40, seed=0):
    """Write the results of a season whose users come and go; return scores by round."""
    rng = np.random.default_rng(seed)
    pool = [f"user_{number:03d}" for number in range(size)]
    made = {}
    for number in rounds:
        users = sorted(rng.choice(pool, size * 3 // 4, replace=False).tolist())
        made[number] = make_scores(number, users, seed)
        write_round(results, made[number])
    return made


def contents(folder):
    """Return all that a history holds, but for what killed calls may leave in another order."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "season"
    }
