"""The contribution of 2020, by the bootstrap's formula, to one meta model instead of many draws."""

from typing import Any

from mmc_gpu.engines import Engine, Ties
from mmc_gpu.engines.arrays import Floats, Ranks
from mmc_gpu.engines.ranked_once import once
from mmc_gpu.metrics.contribution import TWICE_DROPPED
from mmc_gpu.metrics.correlations import centre_target
from mmc_gpu.metrics.population.book import DROPPED, Book, Faults
from mmc_gpu.metrics.population.cohort import Cohort
from mmc_gpu.metrics.typed import scored
from mmc_gpu.rounds.algebra import Target, contributions
from mmc_gpu.rounds.method import SCALE, Method


@scored
def legacy_contribution(
    predictions: Any,
    meta_model: Any,
    live_targets: Any,
    *,
    ties: Ties = "first",
    scale: float = SCALE,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's legacy MMC: cov(u - fit of u on the meta model, target) / scale.

    u and the meta model are uniform ranks, and the fit has a constant. To the bit it is the MMC of
    a round in which one user stakes, who has submitted the meta model, in one draw.

    Args:
        predictions: (ids x users) frame or array.
        meta_model: Series, frame of one column, or (ids,) array.
        live_targets: the same.
        ties: equal predictions rank in order of their ids ("first") or share ranks ("average").
        scale: what the covariance is divided by, as for rounds.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: docs.numer.ai/tournament/metamodel-contribution (as of 2020), and
    forum.numer.ai/t/mmc2-announcement/93.
    """
    scale = Method(ties=ties, scale=scale).scale  # which checks both

    def score(cohort: Cohort) -> Floats:
        engine, values = cohort.engine, cohort.shared["live_targets"][0]
        centre_target(values)
        target = Target.of("target", values)

        def stacked() -> Ranks:
            meta = engine.rank(engine.put(cohort.shared["meta_model"]), ties)
            return engine.get(engine.stack([meta, target.limbs]))

        key = "legacy", values.tobytes(), cohort.shared["meta_model"].tobytes(), ties
        probes = once(engine, key, stacked, lasting=True)
        own = engine.moments(probes[:1], target.limbs, ties)
        moments = cohort.map(lambda block: engine.moments(block, probes, ties))
        with_target, with_meta = target.product(moments[:, 1:]), moments[:, :1]
        meta_target, meta_squares = target.product(own), own[:, -1]
        shape = target, cohort.stocks, scale
        return contributions(with_target, with_meta, meta_squares, meta_target, *shape)[:, 0]

    shared = {"meta_model": meta_model, "live_targets": live_targets}
    book = Book(predictions, shared, engine, TWICE_DROPPED, DROPPED)
    return book.scores("legacy_mmc", score, faults)
