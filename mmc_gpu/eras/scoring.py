"""One era's scores on every target: block by block of models, whose predictions are ranked once."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

import mmc_gpu.metrics as metrics
from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.ranked_once import RankedOnce
from mmc_gpu.eras.era import Era
from mmc_gpu.eras.evaluation import EVERY_MODEL, EVERY_TARGET, EraFault
from mmc_gpu.eras.metrics import LARGEST, Metric
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.metrics.correlations import average_ranks, corr_probe, correlate
from mmc_gpu.metrics.population.cohort import block_rows
from mmc_gpu.metrics.population.panels import take_series

_View = tuple[int | slice, Any, list[str]]
"""Scores that are computed together: the target's place (all of them), its name, the scores."""

_Asked = tuple[str, int | slice, Any]
"""One score: its name, the target's place and name."""


class EraScored:
    """An era's scores: `scores`, `missing`, `counted` and `faults` are those of `EraScores`."""

    def __init__(self, era: Era, plan: Mapping[str, Metric], engine: Engine) -> None:
        """Compute all scores of a plan over all rows of an era."""
        self._plan, self._label = plan, era.label
        self._targets = era.columns.targets or (EVERY_TARGET,)
        shape = len(self._targets), len(era.columns.models)
        self.scores = {name: np.full(shape, np.nan) for name in plan}
        self.missing = era.missing()
        self.counted = {"rows": np.full(shape[:1], era.rows)}
        for need, names in era.columns.given.items():
            each = [[name] for name in names] if need == "target" else [names] * shape[0]
            self.counted[f"without_{need}"] = np.array([era.without(some) for some in each])
        # (targets,) the meta model's own CORR, where both are asked for
        self.meta_model_corr = np.full(shape[:1], np.nan)
        self._lost: dict[tuple[str, str, str], dict[str, list[str]]] = {}
        for present, views in self._views(era):
            self._score(era.of_rows(present), views, engine)
        self.faults = {
            EraFault(self._label, *key, target): names
            for key, lost in self._lost.items()
            for target, names in self._told_once(lost).items()
        }

    def _views(self, era: Era) -> Iterator[tuple[Any, list[_View]]]:
        """Yield sets of rows, each with all that is scored over these rows."""
        usual: list[str] = []
        on_target: list[str] = []
        for name, metric in self._plan.items():
            if not metric.before or era.previous is not None:
                (on_target if "target" in metric.needs else usual).append(name)
        views: dict[bytes, list[_View]] = {}
        if usual:
            views[bytes(np.ones(era.rows, bool))] = [(slice(None), None, usual)]
        for place, target in enumerate(era.columns.targets if on_target else ()):
            try:
                rows = bytes(era.rows_with(target))
            except RoundError as error:
                for name in on_target:
                    self._explain(name, target, {EVERY_MODEL: error})
            else:
                views.setdefault(rows, []).append((place, target, on_target))
        yield from ((np.frombuffer(rows, bool), views[rows]) for rows in views)

    def _score(self, era: Era, views: list[_View], engine: Engine) -> None:
        once, models, step = RankedOnce(engine), len(era.columns.models), block_rows(era.rows)
        asked = [(name, place, target) for place, target, names in views for name in names]
        whole = {name for name, metric in self._plan.items() if metric.compares or metric.before}
        together = [one for one in asked if one[0] in whole]
        apart = [one for one in asked if one[0] not in whole]
        for name, place, target in asked:
            if name == "corr" and era.columns.meta_model is not None:
                with suppress(RoundError):  # it is no model: it needs no fault
                    self.meta_model_corr[place] = _meta_model_corr(era, target, once)

        def score(users: slice, scores: list[_Asked]) -> Iterator[Any]:
            part = era if scores is together else era.of_users(users)
            for name, place, target in scores:
                yield name, place, target, *found_in(self._plan[name], part.on(target), once)

        # the first models show whether all need no ranks, but sums, which are found together
        if models > step and once.rehearse(lambda: list(score(slice(step), apart))):
            step *= GROUP // step
        parts = [(slice(start, start + step), apart) for start in range(0, models, step)]
        for users, scores in [*parts, (slice(models), together)]:
            once.forget()
            for name, place, target, found, faults in score(users, scores):
                self.scores[name][place, users] = found
                self._explain(name, EVERY_TARGET if target is None else target, faults)

    def _explain(self, name: str, target: Any, faults: Mapping[Any, RoundError]) -> None:
        for model, fault in faults.items():
            key = str(model), fault.code, fault.detail
            names = self._lost.setdefault(key, {}).setdefault(str(target), [])
            if name not in names:  # what concerns every model is met in every block
                names.append(name)

    def _told_once(self, lost: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return which scores are lost, by target; what is lost on every target is told once."""
        each = [lost.get(str(target)) for target in self._targets]
        if each[0] is None or any(names != each[0] for names in each):
            return lost
        if len(each) == 1 and EVERY_TARGET not in lost:
            return lost
        names = {*lost.get(EVERY_TARGET, ()), *each[0]}
        return {EVERY_TARGET: [name for name in self._plan if name in names]}


def found_in(metric: Metric, era: Any, engine: Engine) -> tuple[Any, dict[Any, RoundError]]:
    """Return a metric's scores in an era, NaN for nobody's, and why models have none, by name."""
    faults: dict[Any, RoundError] = {}
    try:
        found, names = metric.score(metrics, era, engine=engine, faults=faults), era.models.names
    except RoundError as error:
        return np.nan, {EVERY_MODEL: error}
    none = ~(np.abs(found) < LARGEST)
    for row in np.flatnonzero(none).tolist():
        wrong = f"{shown([names[row]])}: {metric.name} is {found[row]}, not below {LARGEST}"
        faults.setdefault(names[row], RoundError("score-undefined", wrong))
    return np.where(none, np.nan, found), faults


def _meta_model_corr(era: Era, target: Any, engine: Engine) -> float:
    series = np.stack([era.series(era.columns.meta_model), era.series(target)]).astype(np.float64)
    series = series[:, ~np.isnan(series).any(axis=0)]
    probe = corr_probe(engine, take_series(series[1], "target").centred().matrix[0])
    return float(correlate(engine, probe, None, average_ranks(engine, series[:1]))[0])
