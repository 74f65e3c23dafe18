"""The scores of eras as they come in."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np

import mmc_gpu.metrics as metrics
from mmc_gpu.engines import Engine
from mmc_gpu.engines.ahead import ahead
from mmc_gpu.eras.columns import Columns, EraSource, Label
from mmc_gpu.eras.era import Era
from mmc_gpu.eras.evaluation import EVERY_MODEL, EVERY_TARGET, EraFault
from mmc_gpu.eras.metrics import planned
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.population.panels import Panel

_Rows = tuple[int | slice, str, Callable[[], Era]]
"""Whose scores are computed: the target's place, its name, and the era as the metrics take it."""


class Board:
    """The scores of some consecutive eras, filled era by era; see `EraScores`.

    Attributes:
        columns: the columns of the data.
        metrics: names of metrics; None for all that there is data for.
        targets: the targets' names; one that is "" where there is no target.
        labels: the eras.
        scores: (targets, eras, U) by the score's name.
        missing: (eras, U) how many predictions are missing.
        counted: (targets, eras) numbers of rows, by what is counted.
        faulted: the names of the scores that are missing, by the fault that explains it.
        meta_model: (targets, eras) the meta model's own correlation with the target, by the score's
            name; NaN where it has none.
    """

    def __init__(
        self, columns: Columns, metrics: Sequence[str] | None, labels: Sequence[Label]
    ) -> None:
        """Plan the scores.

        Raises:
            ValueError: a metric is unknown, or lacks data.
        """
        self.columns, self.labels = columns, labels
        self.metrics = None if metrics is None else tuple(metrics)
        self.targets = [str(name) for name in columns.targets] or [""]
        self._plan = planned(metrics, columns)
        each, models = (len(self.targets), len(labels)), len(columns.models)
        self.scores = {name: np.full((*each, models), np.nan) for name in self._plan}
        self.missing = np.zeros((len(labels), models), np.int64)
        counted = ["rows", *(f"without_{need}" for need in columns.given)]
        self.counted = {name: np.zeros(each, np.int64) for name in counted}
        self.faulted: dict[EraFault, list[str]] = {}
        own = [name for name in self._plan if self._plan[name].function == "numerai_corr"]
        known = columns.meta_model is not None
        self.meta_model = {name: np.full(each, np.nan) for name in own if known}

    def score(
        self,
        source: EraSource,
        start: int,
        engine: Engine,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Fill the board.

        Args:
            source: the data.
            start: the place of the board's first era among the source's eras.
            engine: what computes.
            progress: called after each era with how many are done.
        """
        compares = any("previous era" in metric.needs for metric in self._plan.values())
        before = compares and start > 0  # the era before is read, not scored
        eras = source.eras(self.columns, slice(start - before, start + len(self.labels)))
        previous: Panel | RoundError | None = None
        for number, rows in enumerate(ahead(eras), -int(before)):
            era = Era.of(rows, self.columns, previous)
            if number >= 0:
                self._score(number, era, engine)
                progress(number + 1)
            if compares:
                try:
                    previous = era.models
                except RoundError as error:
                    previous = error

    def refuse_faulty_ids(self) -> None:
        """Raise RoundError where no era can be scored, because each has ids that are at fault."""
        codes = "id-null", "id-duplicate", "id-type"
        of_ids = [fault for fault in self.faulted if fault.code in codes]
        everybody = {fault.era: fault for fault in of_ids if fault.model == EVERY_MODEL}
        if len(everybody) == len(self.labels):
            first = next(iter(everybody.values()))
            raise RoundError(first.code, first.detail)

    def arrays(self) -> dict[str, Any]:
        """Return all that the board holds, for `put`."""
        faults = [[*fault, names] for fault, names in self.faulted.items()]
        return {
            "scores": np.stack(list(self.scores.values())),
            "missing": self.missing,
            "counted": np.stack(list(self.counted.values())),
            "meta_model": np.array(list(self.meta_model.values())),
            "faults": json.dumps(faults),
        }

    def put(self, eras: slice, arrays: Mapping[str, Any]) -> None:
        """Store the `arrays` of another board, which holds some of these eras."""
        self.missing[eras] = arrays["missing"]
        for name in ("scores", "counted", "meta_model"):
            for values, block in zip(getattr(self, name).values(), arrays[name], strict=True):
                values[:, eras] = block
        for *fault, names in json.loads(str(arrays["faults"])):
            self.faulted[EraFault(*fault)] = names

    def _score(self, number: int, era: Era, engine: Engine) -> None:
        self.missing[number] = era.absent
        self.counted["rows"][:, number] = era.rows
        for need, names in self.columns.given.items():
            counts = [era.without([name]) for name in names] if need == "target" else []
            self.counted[f"without_{need}"][:, number] = counts or era.without(names)
        lost: dict[tuple[str, str, str], dict[str, list[str]]] = {}
        everywhere: _Rows = slice(None), EVERY_TARGET, lambda: era
        each: list[_Rows] = [
            (place, target, cache(partial(era.scored_on, self.columns.targets[place])))
            for place, target in enumerate(self.targets if self.columns.targets else ())
        ]
        for name, metric in self._plan.items():
            if "previous era" in metric.needs and era.previous is None:
                continue
            for place, target, rows in each if "target" in metric.needs else [everywhere]:
                faults: dict[Any, RoundError] = {}
                try:
                    scores = metric.score(metrics, rows(), engine=engine, faults=faults)
                    self.scores[name][place, number] = scores
                except RoundError as error:
                    faults = {EVERY_MODEL: error}
                if name in self.meta_model:
                    with suppress(RoundError):  # it is no model: `without_meta_model` says why
                        of = rows().of_meta_model
                        own = metric.score(metrics, of, engine=engine, faults={})
                        self.meta_model[name][place, number] = own[0]
                for model, fault in faults.items():
                    key = str(model), fault.code, fault.detail
                    lost.setdefault(key, {}).setdefault(target, []).append(name)
        for key, by_target in lost.items():
            for target, missing in self._told_once(by_target).items():
                self.faulted[EraFault(era.label, *key, target)] = missing

    def _told_once(self, names: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return which scores are lost, by target; what is lost on every target is told once."""
        each = [names.get(target) for target in self.targets]
        if each[0] is None or any(lost != each[0] for lost in each):
            return names
        if len(each) == 1 and EVERY_TARGET not in names:
            return names
        lost = [*names.get(EVERY_TARGET, ()), *each[0]]
        return {EVERY_TARGET: [name for name in self._plan if name in lost]}
