"""What the report is tried on: hostile names, and scores of any number of users."""

import numpy as np

from mmc_gpu.algebra import mean_and_error
from mmc_gpu.draws import draw_counts
from mmc_gpu.method import Method
from mmc_gpu.scores import RoundScores

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
    names = [f"{rng.bytes(4).hex()}_{number}" for number in range(users)]
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
