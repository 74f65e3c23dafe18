"""The scores of eras as they come in, and why some have none."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmc_gpu.engines import Engine
from mmc_gpu.engines.ahead import ahead
from mmc_gpu.eras.columns import Columns, EraSource, Label
from mmc_gpu.errors import RoundError

if TYPE_CHECKING:
    from mmc_gpu.eras.era import Era

EVERY_MODEL = "*"
"""Stands for the model in a fault that concerns all of them."""


class EraFault(NamedTuple):
    """Why there is no score.

    Attributes:
        era: where.
        model: whose; "*" for everybody's.
        code: a key of `CODES`.
        detail: what was found.
    """

    era: Label
    model: str
    code: str
    detail: str


class Board:
    """The scores of some consecutive eras, as they come in.

    Attributes:
        columns: of the data.
        metrics: their names; None for all that there is data for.
        labels: of the eras.
        scores: (eras, U) by the name of the score.
        missing: (eras, U) predictions missing.
        counted: (eras,) by name.
        faulted: for each fault which scores it concerns.
    """

    def __init__(
        self, columns: Columns, metrics: tuple[str, ...] | None, labels: Sequence[Label]
    ) -> None:
        """Plan the scores.

        Raises:
            ValueError: a metric is unknown, or lacks data.
        """
        from mmc_gpu.eras.metrics import planned

        self.columns, self.metrics, self.labels = columns, metrics, labels
        self._plan = planned(metrics, columns)
        self._parts = {
            "without_target": () if columns.target is None else (columns.target,),
            "without_meta_model": () if columns.meta_model is None else (columns.meta_model,),
            "without_benchmarks": columns.benchmarks,
            "without_features": columns.features,
        }
        eras, models = len(labels), len(columns.models)
        self.scores = {name: np.full((eras, models), np.nan) for name in self._plan}
        self.missing = np.zeros((eras, models), np.int64)
        given = [name for name, part in self._parts.items() if part]
        self.counted = {name: np.zeros(eras, np.int64) for name in ("rows", *given)}
        self.faulted: dict[EraFault, list[str]] = {}

    def score(
        self,
        source: EraSource,
        start: int,
        engine: Engine,
        report: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Score the eras, which start at that place among the source's."""
        from mmc_gpu.eras.era import Era

        churn = "churn" in self._plan
        before = churn and start > 0  # the era before is read, not scored
        eras = source.eras(self.columns, slice(start - before, start + len(self.labels)))
        previous = None
        for number, rows in enumerate(ahead(eras), -int(before)):
            era = Era.of(rows, self.columns, previous)
            if number >= 0:
                self._score(number, era, engine)
                report(number + 1)
            previous = era.models if churn else None

    def arrays(self) -> dict[str, Any]:
        """Return everything as arrays, for `put`."""
        faults = [[*fault, names] for fault, names in self.faulted.items()]
        return {
            "scores": np.stack(list(self.scores.values())),
            "missing": self.missing,
            "counted": np.stack(list(self.counted.values())),
            "faults": json.dumps(faults),
        }

    def put(self, eras: slice, arrays: Mapping[str, Any]) -> None:
        """Store the arrays of the board of some of the eras."""
        self.missing[eras] = arrays["missing"]
        for own, found in (self.scores, arrays["scores"]), (self.counted, arrays["counted"]):
            for values, block in zip(own.values(), found, strict=True):
                values[eras] = block
        for *fault, names in json.loads(str(arrays["faults"])):
            self.faulted[EraFault(*fault)] = names

    def _score(self, number: int, era: "Era", engine: Engine) -> None:
        from mmc_gpu.metrics.neutral import factorised_once

        self.missing[number] = era.missing(self.columns.models)
        for name, counts in self.counted.items():
            parts = self._parts.get(name)
            counts[number] = era.rows if parts is None else era.without(parts)
        with factorised_once():
            for name, score in self._plan.items():
                faults: dict[Any, RoundError] = {}
                try:
                    self.scores[name][number] = score(era, engine, faults)
                except RoundError as error:
                    faults = {EVERY_MODEL: error}
                for model, fault in faults.items():
                    found = EraFault(era.label, str(model), fault.code, fault.detail)
                    self.faulted.setdefault(found, []).append(name)
