"""Why the bootstrap MMC is built as it is: its published design claims, measured.

    python -m benchmarks.large.design_claims

Each function makes a seeded round, does what the claim speaks of, and returns a table; the tests
hold the claims to these tables.

Sources: docs.numer.ai/tournament/metamodel-contribution (2020);
forum.numer.ai/t/mmc2-announcement/93;
forum.numer.ai/t/mmc-calculation-punishes-originality-during-meta-model-burns/738.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

import mmc_gpu
from mmc_gpu.api import RoundScores
from mmc_gpu.engines.arrays import Floats
from mmc_gpu.rounds.method import SCALE, Blend
from mmc_gpu.rounds.sample import make_sample_round


class Table(NamedTuple):
    """A claim, and what was found: one row a case."""

    claim: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[float, ...]]


class Pool(NamedTuple):
    """A round as arrays: (U, N) predictions, (U,) stakes, (N,) target."""

    predictions: Floats
    stakes: Floats
    target: Floats

    def with_users(self, predictions: Floats, stakes: Floats | float) -> "Pool":
        """Return the pool with more users, the last ones."""
        more = np.broadcast_to(stakes, len(predictions))
        return Pool(
            np.concatenate([self.predictions, predictions]),
            np.concatenate([self.stakes, more]),
            self.target,
        )

    def score(self, draws: int = 20, blend: Blend = "raw") -> RoundScores:
        """Return the scores."""
        names = [f"{user:06d}" for user in range(len(self.stakes))]
        return mmc_gpu.score_round(
            self.predictions.T, self.stakes, self.target, users=names, draws=draws, blend=blend
        )


def sample_pool(users: int = 300, stocks: int = 1500, seed: int = 0) -> Pool:
    """Return a sample round."""
    sample = make_sample_round(users, stocks, seed)
    stakes = np.array([sample.stakes.get(user, 0.0) for user in sample.users])
    return Pool(sample.predictions, stakes, sample.targets["target"])


def random_predictions(pool: Pool) -> Floats:
    """Return (N,) predictions of somebody who knows nothing."""
    return np.random.Generator(np.random.Philox(1)).random(len(pool.target))


def of_user(scores: RoundScores, user: int, name: str = "mmc") -> float:
    """Return a score of the user in that row of the pool; a negative row counts from the end."""
    rows = range(len(scores.users))
    place = scores.users.index(f"{rows[user]:06d}")
    return float(np.atleast_2d(getattr(scores, name))[0, place])


def uniform(values: Floats) -> Floats:
    """Return ranks in (0, 1)."""
    return (np.argsort(np.argsort(values, kind="stable"), kind="stable") + 0.5) / len(values)


def mmc_without_sampling(pool: Pool, user: int) -> float:
    """Return a user's MMC against the one meta model of all stakes, as the text says it."""
    meta_model = uniform(pool.stakes @ pool.predictions / pool.stakes.sum())
    ranks = uniform(pool.predictions[user])
    regressors = np.stack([meta_model, np.ones_like(ranks)], axis=1)
    residual = ranks - regressors @ np.linalg.lstsq(regressors, ranks, rcond=None)[0]
    return float(np.cov(residual, pool.target)[0, 1] / SCALE)


def copies_against_stake(copies: Sequence[int] = (0, 10, 100, 1000)) -> Table:
    """Copy one submission many times: how much of the meta model does its author become?"""
    pool = sample_pool()
    attack = random_predictions(pool)
    rows = []
    for count in copies:
        sheep = np.broadcast_to(attack, (count + 1, len(attack)))
        free = pool.with_users(sheep, 0.0)
        split = pool.with_users(sheep, 1.0 / (count + 1))  # one NMR, over all copies
        equal = Pool(free.predictions, np.ones(len(free.stakes)), pool.target)
        rows.append(
            (
                count,
                *(of_user(p.score(1), -1, "corr_with_meta_model") for p in (free, split, equal)),
            )
        )
    columns = "copies", "unstaked", "sharing 1 NMR", "if stakes did not count"
    claim = (
        "Stake weight makes the system hard to attack: many copies change nothing. Correlation of"
        " the meta model with random predictions that are submitted so many times."
    )
    return Table(claim, columns, rows)


def values_outside(factors: Sequence[float] = (1.0, 1e3, 1e6, 1e9)) -> Table:
    """Multiply a small staker's predictions: what if values outside [0, 1] were blended?"""
    pool = sample_pool()
    attack = random_predictions(pool)
    rows = []
    for factor in factors:
        attacked = pool.with_users(attack[None] * factor, 3e-4)
        blend = attacked.stakes @ attacked.predictions
        unchecked = np.corrcoef(uniform(blend), uniform(attack))[0, 1]
        try:
            raw = of_user(attacked.score(1), -1, "corr_with_meta_model")
        except mmc_gpu.RoundError as error:
            if error.code != "prediction-range":
                raise
            raw = np.nan
        ranked = of_user(attacked.score(1, blend="ranked"), -1, "corr_with_meta_model")
        rows.append((factor, unchecked, raw, ranked))
    columns = "values up to", "unchecked", "raw", "ranked"
    claim = (
        "Values outside [0, 1] cannot buy the meta model: an error in a raw blend, no help in a"
        " ranked one. Correlation of the meta model with a staker of 0.0003 NMR."
    )
    return Table(claim, columns, rows)


def whale_with_your_predictions(
    shares: Sequence[float] = (0.0, 0.05, 0.2, 0.33, 0.5, 0.8, 0.95), users: int = 5
) -> Table:
    """Let a large staker submit what good users submit: how much MMC is left to them?"""
    pool = sample_pool()
    scores = pool.score()
    good = [int(scores.users[user]) for user in scores.order()[: 4 * users : 4]]
    kept = {row: (pool.stakes > 0) | (np.arange(len(pool.stakes)) == row) for row in good}
    sums = []
    for share in shares:
        sampled = full = 0.0
        for row in good:
            alone = Pool(pool.predictions[kept[row]], pool.stakes[kept[row]], pool.target)
            you = int(np.count_nonzero(kept[row][:row]))
            stake = share / (1 - share) * pool.stakes.sum()
            crowded = alone.with_users(alone.predictions[[you]], stake)
            sampled += of_user(crowded.score(draws=100), you)
            full += mmc_without_sampling(crowded, you)
        sums.append((full, sampled))
    rows = [
        (share, full / sums[0][0], sampled / sums[0][1])
        for share, (full, sampled) in zip(shares, sums, strict=True)
    ]
    columns = "whale's share", "no sampling", "67 % sampled"
    claim = (
        "Sampling 67 % softens the blow of one very large staker with your predictions: from a"
        " third of all stake on; below, it hurts a little more. Share of their MMC that"
        f" {users} good users keep whom a whale copies."
    )
    return Table(claim, columns, rows)


def submitting_the_meta_model(users: Sequence[int] = (100, 300, 1000)) -> Table:
    """Submit the meta model itself, without a stake."""
    rows = []
    for count in users:
        pool = sample_pool(count)
        meta_model = pool.stakes @ pool.predictions / pool.stakes.sum()
        submitted = pool.with_users(meta_model[None], 0.0)
        scores = submitted.score()
        (largest,) = np.flatnonzero(pool.stakes == pool.stakes.max())[:1]
        lone = Pool(pool.predictions, np.where(np.arange(count) == largest, 1.0, 0.0), pool.target)
        rows.append(
            (
                count,
                of_user(scores, -1, "corr"),
                of_user(scores, -1),
                float(scores.mmc[0].std()),
                of_user(lone.score(), int(largest)),
            )
        )
    columns = "users", "its CORR", "its MMC", "users differ by", "a lone staker's MMC"
    claim = (
        "Submitting the meta model earns nothing: against 20 draws about 0, and exactly 0 for the"
        " only staker, who is the meta model in every draw."
    )
    return Table(claim, columns, rows)


def originality_when_the_meta_model_burns(
    exposures: Sequence[float] = (0.0, 0.5, 0.99), burn: float = -0.03, stocks: int = 200_000
) -> Table:
    """Mix a burning meta model with something of one's own, worthless, or as bad as the rest.

    The forum's complaint compares users of equal CORR: then the copy of a burning meta model has an
    MMC of 0, and the original user a negative one. But an original user of that CORR has lost it
    with what was his own. One whose own part is worth nothing burns less, and has an MMC of 0 too.
    """
    meta_model, own, target = _orthogonal(3, stocks)
    meta_model = burn * target + np.sqrt(1 - burn**2) * meta_model
    users = []
    for exposure in exposures:
        rest = np.sqrt(1 - exposure**2)
        worth = burn * (1 - exposure) / rest  # of the own part, so that CORR is the burn
        for skill in (0.0, worth):
            noise = skill * target + np.sqrt(1 - skill**2) * own
            users.append(uniform(exposure * meta_model + rest * noise))
    lone = Pool(uniform(meta_model)[None], np.ones(1), uniform(target))
    scores = lone.with_users(np.stack(users), 0.0).score(draws=1)
    rows = []
    for number, exposure in enumerate(exposures):
        for user in (1 + 2 * number, 2 + 2 * number):
            corr, mmc = of_user(scores, user, "corr"), of_user(scores, user)
            rows.append((exposure, corr, mmc, corr + mmc))
    columns = "exposure", "CORR", "MMC", "together"
    claim = (
        "When the meta model burns, originality is punished less than it seems. For each exposure"
        " to it: an own part worth nothing, then one that makes CORR equal."
    )
    return Table(claim, columns, rows)


def _orthogonal(count: int, stocks: int) -> Floats:
    """Return series of mean 0, variance 1 and no correlation, roughly normal."""
    noise = np.random.Generator(np.random.Philox(5)).standard_normal((stocks, count))
    basis, _ = np.linalg.qr(noise - noise.mean(axis=0))
    return basis.T * np.sqrt(stocks)


def tables() -> Iterator[Table]:
    """Yield what was found for every claim."""
    yield copies_against_stake()
    yield values_outside()
    yield whale_with_your_predictions()
    yield submitting_the_meta_model()
    yield originality_when_the_meta_model_burns()


def shown(table: Table) -> str:
    """Return a table as text of 80 columns."""
    from textwrap import fill

    widths = [max(len(name), 10) for name in table.columns]
    lines = [
        "  ".join(name.rjust(width) for name, width in zip(table.columns, widths, strict=True))
    ]
    for row in table.rows:
        cells = [f"{cell:.4g}" if cell % 1 == 0 else f"{cell:.4f}" for cell in row]
        cells = ["refused" if cell == "nan" else cell for cell in cells]
        lines.append("  ".join(c.rjust(width) for c, width in zip(cells, widths, strict=True)))
    return "\n".join([fill(table.claim, 80), "", *lines])


if __name__ == "__main__":
    print("\n\n".join(map(shown, tables())))
