"""What reports are tried on: hostile names, and scores of any number of users, models, eras."""

import numpy as np

from mmc_gpu.api import Evaluation, RoundScores
from mmc_gpu.eras.evaluation import EraFault
from mmc_gpu.rounds.algebra import mean_and_error
from mmc_gpu.rounds.draws import draw_counts
from mmc_gpu.rounds.method import Method

HOSTILE = [
    "</script><img src=x onerror=\"document.title='owned'\">",
    "<!--<script>document.title='owned'</script>",
    "javascript:document.title='owned'",
    "\" onmouseover='document.title=1' x=\"",
    "=cmd('calc')",
    "{{7*7}}${7*7}",
    "&lt;b&gt;&amp;",
    "__proto__",
    "مرحبا بالعالم",
    "x" * 128,
]


def made_up_scores(users: int, draws: int = 20) -> RoundScores:
    """Return scores of the size and spread of real ones, without scoring anything."""
    rng = np.random.Generator(np.random.Philox(7))
    letters = rng.bytes(4 * users).hex()
    names = [f"{letters[8 * number : 8 * number + 8]}_{number}" for number in range(users)]
    stakers = users * 6 // 10
    stakes = np.exp(rng.normal(1, 3, users)) * (np.arange(users) < stakers)
    names = sorted(names[:stakers]) + sorted(names[stakers:])
    per_draw = rng.normal(0.002, 0.007, (1, users, 1)) + rng.normal(0, 0.002, (1, users, draws))
    return RoundScores(
        method=Method(draws=draws),
        engine="numpy",
        users=names,
        stakes=stakes,
        targets=["target"],
        stocks=5000,
        mmc=per_draw.mean(axis=2),
        mmc_se=mean_and_error(per_draw[0])[1][None],
        corr=per_draw.mean(axis=2) + rng.normal(0.01, 0.01, (1, users)),
        corr_with_meta_model=rng.uniform(-0.1, 0.98, users),
        per_draw=per_draw,
        meta_model_corr=rng.normal(0.02, 0.005, (1, draws)),
        full_meta_model_corr=np.array([0.02]),
        counts=draw_counts(stakers, draws),
        filled=np.zeros(users, np.int64),
        quarantined=(),
        notes=(),
    )


def made_up_evaluation(names: list[str], eras: int, scores: tuple[str, ...] = ("corr", "mmc"),
                       benchmarks: int = 2) -> Evaluation:  # fmt: skip
    """Return scores of the size and spread of real ones; the last model lacks the first eras."""
    rng = np.random.Generator(np.random.Philox(7))
    models = len(names)
    labels = [f"{era:04d}" for era in range(1, eras + 1)]
    common, skill = rng.normal(0, 0.015, (eras, 1)), rng.normal(0.012, 0.006, models)
    found = {
        name: (skill / (number + 1) + common + rng.normal(0, 0.018, (eras, models)))[None]
        for number, name in enumerate(scores)
    }
    missing, faults, gap = np.zeros((eras, models), np.int64), {}, eras // 4
    missing[:gap, -1] = 3
    for values in found.values():
        values[:, :gap, -1] = np.nan
    for label in labels[:gap]:
        detail = f"era {label}, {names[-1]!a}: missing 3 of 5,000"
        faults[EraFault(label, names[-1], "prediction-missing", detail)] = list(scores)
    without = np.zeros((1, eras), np.int64)
    without[0, 0] = 12
    counted = {"rows": np.full((1, eras), 5000), "without_target": without}
    return Evaluation(
        *(names, names[:benchmarks], ["target"], labels, found, missing, counted, faults),
        engine="numpy",
    )
