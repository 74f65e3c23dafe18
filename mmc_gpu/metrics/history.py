"""Signals submissions beside those of the weeks before: churn and turnover over whole universes.

Numerai joins a submission on the universe of its week, ranks it, and gives what it leaves out 0.5.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.arrays import Floats, value_count
from mmc_gpu.metrics.population.book import Faults
from mmc_gpu.metrics.population.panels import Panel, take_panel, take_series
from mmc_gpu.metrics.portfolio import portfolios
from mmc_gpu.metrics.signals import churn, neutral_ranks, turnover
from mmc_gpu.metrics.transforms import ranks

LEAST_IDS = 100
"""How many ids of its universe a submission must have: SIGNALS_MIN_TICKERS of numerai-tools."""

TOO_FEW = "id-other-round"
"""With this code, a week is only passed over; any other is a fault of the user."""

Prepare = Callable[[Panel, Any, Any], Sequence[Panel]]
"""Turns cleaned submissions, neutralizers and sample weights into what each measure compares."""

Measure = Callable[..., Any]
"""Compares two weeks by `engine=`: returns (U,) numbers; `faults=` gains why users have none."""


def calculate_mean_neutral_churn(
    curr_sub: Any,
    curr_neutralizer: Any,
    curr_sample_weight: Any,
    prev_subs: Mapping[Any, Any],
    prev_neutralizers: Mapping[Any, Any],
    prev_sample_weights: Mapping[Any, Any],
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return the mean neutral churn from the submissions before; 1.0 where none can be compared.

    A week is passed over for whoever has no submission of it, or too few ids in common with it.

    Args:
        curr_sub: a Series, for one number, or an (ids x users) frame or array; NaN for an id that
            a user leaves out. Only the order of the values counts.
        curr_neutralizer: (ids x features) frame or array, of the universe.
        curr_sample_weight: Series, frame of one column, or (ids,) array; its ids are the universe.
        prev_subs: submissions by date, users by name; Numerai takes the last five.
        prev_neutralizers: of the same dates.
        prev_sample_weights: of the same dates.
        engine: its name, or an engine.
        faults: gains why users who are NaN have none, by name.

    Source: numerai_tools.signals.calculate_mean_neutral_churn 0.7.2.
    """
    loaded = load_engine(engine, work=value_count(curr_sub) * (1 + len(prev_subs)))

    def neutral(submissions: Panel, neutralizers: Any, sample_weights: Any) -> list[Panel]:
        return [neutral_ranks(submissions, submissions.place, neutralizers, loaded)]

    current = curr_sub, curr_neutralizer, curr_sample_weight
    previous = prev_subs, prev_neutralizers, prev_sample_weights
    panel, (weeks,) = _by_week(current, previous, neutral, [churn], loaded)
    counted = (~np.isnan(weeks)).sum(axis=0)
    total = np.where(counted, np.nansum(weeks, axis=0), np.nan)
    return _result(panel, total / np.maximum(counted, 1), "mean_neutral_churn", faults)


def calculate_max_churn_and_turnover(
    curr_sub: Any,
    curr_neutralizer: Any,
    curr_sample_weight: Any,
    prev_subs: Mapping[Any, Any],
    prev_neutralizers: Mapping[Any, Any],
    prev_sample_weights: Mapping[Any, Any],
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> tuple[Any, Any]:
    """Return the largest churn and the largest turnover from the submissions before.

    Turnover is that of `generate_neutralized_weights`, centred and normalized. Arguments, and when
    a week is passed over, are as for `calculate_mean_neutral_churn`.

    Source: numerai_tools.signals.calculate_max_churn_and_turnover 0.7.2.
    """
    loaded = load_engine(engine, work=value_count(curr_sub) * (1 + len(prev_subs)))

    def weighted(submissions: Panel, neutralizers: Any, sample_weights: Any) -> list[Panel]:
        return [submissions, portfolios(submissions, neutralizers, sample_weights, True, loaded)]

    current = curr_sub, curr_neutralizer, curr_sample_weight
    previous = prev_subs, prev_neutralizers, prev_sample_weights
    panel, weeks = _by_week(current, previous, weighted, [churn, turnover], loaded)
    # a churn of 0 may be rounded to just below it
    churned, turned = np.fmax.reduce(np.abs(weeks), axis=1, initial=np.nan)
    return (
        _result(panel, churned, "max_churn", faults),
        _result(panel, turned, "max_turnover", faults),
    )


def _by_week(
    current: Sequence[Any],
    previous: Sequence[Mapping[Any, Any]],
    prepare: Prepare,
    measures: Sequence[Measure],
    engine: Engine,
) -> tuple[Panel, Floats]:
    """Return the users, and what each measure says of each week before: (measures, weeks, U).

    NaN where a week is passed over, and for users with a fault, who are the panel's.
    """
    panel = take_panel(current[0], "curr_sub")
    now = prepare(_cleaned(panel, current[2], engine), *current[1:])
    faults = {row: fault for one in now for row, fault in one.faults.items()}
    weeks = np.full((len(measures), len(previous[0]), len(panel.names)), np.nan)
    for week, date in enumerate(previous[0]):
        submissions, neutralizers, sample_weights = (part[date] for part in previous)
        users = _same_users(take_panel(submissions, f"prev_subs[{date!r}]"), panel)
        then = prepare(_cleaned(users, sample_weights, engine), neutralizers, sample_weights)
        found: Faults = {}
        for at, measure in enumerate(measures):
            weeks[at, week] = measure(now[at], then[at], engine=engine, faults=found)
        weeks[:, week, np.isnan(weeks[:, week]).any(axis=0)] = np.nan
        for row, name in enumerate(panel.names):
            if name in found and found[name].code != TOO_FEW:
                faults.setdefault(row, found[name])
    return replace(panel, faults=faults), weeks


def _same_users(submissions: Panel, panel: Panel) -> Panel:
    """Return the submissions of a panel's users, in its order; NaN where they have none."""
    if len(panel.names) == len(submissions.names) == 1:
        return replace(submissions, names=panel.names)
    rows = {name: row for row, name in enumerate(submissions.names)}
    places = np.array([rows.get(name, -1) for name in panel.names], np.int64)
    matrix = np.where(places[:, None] < 0, np.nan, submissions.matrix[places])
    known = submissions.faults
    faults = {row: known[place] for row, place in enumerate(places.tolist()) if place in known}
    return replace(submissions, names=panel.names, matrix=matrix, faults=faults)


def _cleaned(submissions: Panel, sample_weights: Any, engine: Engine) -> Panel:
    """Return the ranks of submissions over a universe, ids ascending; 0.5 where there is none.

    Raises:
        RoundError: submissions have ids and the universe has not, or the reverse.
    """
    universe = take_series(sample_weights, f"sample weights of {submissions.place}")
    universe = universe.columns(universe.order())
    matrix = submissions.over(universe)
    faults = dict(submissions.faults)
    least, greatest = (end.reduce(matrix, axis=1) for end in (np.fmin, np.fmax))
    for row, count in enumerate((~np.isnan(matrix)).sum(axis=1).tolist()):
        code = detail = ""
        if count < LEAST_IDS:
            code = TOO_FEW
            detail = f"{count:,} of the universe's {matrix.shape[1]:,} ids, not {LEAST_IDS}"
        elif not np.isfinite([least[row], greatest[row]]).all():
            code, detail = "prediction-infinite", "a prediction is infinite"
        elif least[row] == greatest[row]:
            code, detail = "prediction-constant", f"all predictions are {least[row]}"
        if code:
            faults.setdefault(row, submissions.fault(row, code, detail))
    panel = Panel(submissions.place, universe.ids, submissions.names, matrix, "array", faults)
    found = ranks(panel, "average", engine)
    return replace(panel, matrix=np.where(np.isnan(found), 0.5, found))


def _result(panel: Panel, values: Floats, name: str, faults: Faults | None) -> Any:
    """Return (U,) values in the panel's form: 1.0 where no week could be compared."""
    result = np.where(np.isnan(values), 1.0, values)
    result[list(panel.faults)] = np.nan
    panel.tell(faults)
    return panel.scores(result, name)
