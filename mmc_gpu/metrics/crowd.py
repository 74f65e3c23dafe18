"""Likeness to the crowd: correlation with the meta model, and with every other submission.

Correlations of all users with all users are computed in blocks of a Gram matrix. Neither that
matrix nor the standardised predictions are ever held whole.

Source: Numerai reports scores of these names; no code is public, and numerai-tools has none.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.engines.ranked_once import once
from mmc_gpu.metrics.correlations import centre_target, correlate
from mmc_gpu.metrics.population.book import Book, Faults
from mmc_gpu.metrics.population.cohort import Cohort, by_blocks
from mmc_gpu.metrics.population.ends import centred
from mmc_gpu.metrics.typed import scored
from mmc_gpu.rounds.algebra import ratio

_EXACT = 2**53
"""Below it, float64 holds every integer: a BLAS product whose sums cannot reach it is exact."""


@scored
def cwmm(
    predictions: Any,
    meta_model: Any,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's correlation with the meta model: pearson(pow15(gauss(u)), meta model).

    Args:
        predictions: (ids x users) frame or array.
        meta_model: Series, frame of one column, or (ids,) array, as from `stake_weight`.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.
    """

    def score(cohort: Cohort) -> Floats:
        given = cohort.shared["meta_model"][0]
        key = "cwmm", given.tobytes()
        meta = once(cohort.engine, key, lambda: centre_target(given)[None], lasting=True)
        return cohort.map(lambda block: correlate(cohort.engine, meta, None, block))

    return Book(predictions, {"meta_model": meta_model}, engine).scores("cwmm", score, faults)


@scored
def mcwnm(
    predictions: Any,
    *,
    ranked: bool = False,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's largest Pearson correlation with another submission of the round.

    Users who do not predict all stocks have none, and are not among the others.

    Args:
        predictions: (ids x users) frame or array.
        ranked: correlate ranks (ties share theirs) instead of values: in exact integers.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.
    """
    return _with_others("mcwnm", predictions, _largest, ranked, engine, faults)


@scored
def apcwnm(
    predictions: Any,
    *,
    ranked: bool = False,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's mean Pearson correlation with the other submissions of the round.

    Arguments and users without a score are as for `mcwnm`. The mean needs no Gram matrix: it is
    the correlation with the sum of the standardised submissions.
    """
    return _with_others("apcwnm", predictions, _mean, ranked, engine, faults)


_Rows = Callable[[int], tuple[Floats, Floats]]
"""Takes where a block of users begins: returns what `_block` does."""


def _block(cohort: Cohort, ranked: bool, users: Integers, start: int) -> tuple[Floats, Floats]:
    """Return (rows, N) centred values or ranks, and their (rows,) sums of squares."""
    series = cohort.matrix[users[start : start + GROUP]]
    if cohort.columns is not None:
        series = series.take(cohort.columns, axis=1)
    if ranked:
        rank = partial(cohort.engine.rank, ties="average")
        ranks = by_blocks(cohort.engine, rank, series)
        rows = ranks.astype(np.float64 if cohort.stocks**3 < _EXACT else np.int64)
    else:
        rows = centred(series.astype(np.float64, order="C"))
    return rows, (rows * rows).sum(axis=1)


def _largest(users: int, block: _Rows) -> Floats:
    largest, starts = np.full(users, -np.inf), range(0, users, GROUP)
    for start in starts:
        ours, squares = block(start)
        here = slice(start, start + len(ours))
        for other in starts[start // GROUP :]:
            theirs, their_squares = (ours, squares) if other == start else block(other)
            there = slice(other, other + len(theirs))
            gram = ratio(ours @ theirs.T, squares[:, None], their_squares)
            if other == start:
                np.fill_diagonal(gram, -np.inf)
            np.maximum(largest[here], gram.max(axis=1), out=largest[here])
            np.maximum(largest[there], gram.max(axis=0), out=largest[there])
    return np.where(np.isinf(largest), np.nan, largest)


def _mean(users: int, block: _Rows) -> Floats:
    total: Any = 0.0
    for start in range(0, users, GROUP):
        rows, squares = block(start)
        total = total + (1 / np.sqrt(squares)) @ rows
    mean = np.full(users, np.nan)
    for start in range(0, users, GROUP) if users > 1 else ():  # one alone has no others
        rows, squares = block(start)
        whole = rows @ total / np.sqrt(squares)
        mean[start : start + len(rows)] = (whole - 1) / (users - 1)
    return mean


def _with_others(
    name: str,
    predictions: Any,
    score: Callable[[int, _Rows], Floats],
    ranked: bool,
    engine: str | Engine,
    faults: Faults | None,
) -> Any:
    def with_others(cohort: Cohort) -> Floats:
        scores, users = np.full(len(cohort.users), np.nan), np.flatnonzero(~cohort.skipped)
        scores[users] = score(len(users), partial(_block, cohort, ranked, users))
        return scores

    return Book(predictions, {}, engine, missed=0.0).scores(name, with_others, faults)
