"""The scores of eras as they come in."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from itertools import chain
from typing import Any

import numpy as np

from mmc_gpu.engines import Engine
from mmc_gpu.engines.ahead import ahead, side_by_side
from mmc_gpu.eras.columns import Columns, EraSource, Label
from mmc_gpu.eras.era import Era
from mmc_gpu.eras.evaluation import EVERY_MODEL, EraFault
from mmc_gpu.eras.metrics import planned
from mmc_gpu.eras.own import own_metric
from mmc_gpu.eras.scoring import EraScored
from mmc_gpu.errors import RoundError
from mmc_gpu.inputs.options import Progress, silent
from mmc_gpu.metrics.population.panels import Panel

_AT_ONCE = 256 << 20
"""Bytes of the eras that are in memory at once; an era with more than half of it is alone."""


class Board:
    """The scores of consecutive eras, filled era by era: attributes of `EraScores`, and more."""

    def __init__(
        self, columns: Columns, metrics: Sequence[Any] | None, labels: Sequence[Label]
    ) -> None:
        """Plan the scores.

        Raises:
            ValueError: a metric is unknown, or lacks data.
        """
        self.columns, self.labels = columns, labels
        # names, and functions of one's own; None for all that there is data for
        self.metrics = None if metrics is None else tuple(metrics)
        self.targets = [str(name) for name in columns.targets] or [""]
        own = [own_metric(one) if callable(one) else one for one in self.metrics or ()]
        self._plan = planned(own if metrics is not None else None, columns)
        each, models = (len(self.targets), len(labels)), len(columns.models)
        self.scores = {name: np.full((*each, models), np.nan) for name in self._plan}
        self.missing = np.zeros((len(labels), models), np.int64)
        counted = ["rows", *(f"without_{need}" for need in columns.given)]
        self.counted = {name: np.zeros(each, np.int64) for name in counted}
        self.faulted: dict[EraFault, list[str]] = {}
        known = "corr" in self._plan and columns.meta_model is not None
        self.meta_model = {"corr": np.full(each, np.nan)} if known else {}

    def score(
        self, source: EraSource, start: int, engine: Engine, progress: Progress = silent
    ) -> None:
        """Fill the board, whose first era is at the place `start` among the source's eras.

        `progress` is called after each era.
        """
        compares = any(metric.before for metric in self._plan.values())
        before = compares and start > 0  # the era before is read, not scored
        eras = source.eras(self.columns, slice(start - before, start + len(self.labels)))
        own = any(map(callable, self.metrics or ()))  # which may not stand two calls at once
        threads = 1 if own else min(engine.at_once, len(self.labels))
        read = ahead(eras)
        first = next(read)
        most = _AT_ONCE // (first.matrix.nbytes or 1)

        def made() -> Iterator[Era]:
            previous: Panel | RoundError | None = None
            for number, rows in enumerate(chain([first], read), -int(before)):
                era = Era.of(rows, self.columns, previous)
                if number >= 0:
                    yield era
                if compares:
                    try:
                        previous = era.models
                    except RoundError as error:
                        previous = error

        with _one_blas_thread() if most > 1 else nullcontext():
            work = partial(EraScored, plan=self._plan, engine=engine)
            at_once = side_by_side(work, made(), threads if most > 1 else 1, min(most, 2 * threads))
            for number, scored in enumerate(at_once):
                self._store(number, scored)
                progress("evaluate", number + 1, len(self.labels))

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

    def _store(self, number: int, scored: EraScored) -> None:
        self.missing[number] = scored.missing
        for own, found in (self.scores, scored.scores), (self.counted, scored.counted):
            for name, values in found.items():
                own[name][:, number] = values
        for values in self.meta_model.values():
            values[:, number] = scored.meta_model_corr
        self.faulted |= scored.faults


def _one_blas_thread() -> AbstractContextManager[Any]:
    """Return what holds BLAS to one thread: for small eras its others cost more than they do.

    A machine without threadpoolctl, such as one that has only what a GPU needs, waits for them.
    """
    try:
        loaded = _libraries("scipy.linalg" in sys.modules)
    except ModuleNotFoundError:
        return nullcontext()
    limits: AbstractContextManager[Any] = loaded.limit(limits=1, user_api="blas")
    return limits


@cache
def _libraries(with_scipys: bool) -> Any:
    """Find the BLAS of NumPy and of SciPy once: to search what is loaded takes 3 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
