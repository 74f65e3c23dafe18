"""Models over eras: every era's scores, their summary, and why some scores are missing."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.columns import Label
from mmc_gpu.errors import CODES
from mmc_gpu.metrics.summary import Summary, summarize

EVERY_MODEL = "*"
"""Stands for the model in a fault that concerns all models."""


class EraFault(NamedTuple):
    """Why a model has no score in an era.

    Attributes:
        era: the era.
        model: the model's name; "*" for every model.
        code: a key of `CODES`.
        detail: what was found.
    """

    era: Label
    model: str
    code: str
    detail: str


@dataclass(frozen=True, eq=False)
class EraScores:
    """Scores of models over eras.

    Attributes:
        models: the models' names, benchmarks among them.
        benchmarks: the names of the models that the others are compared with.
        labels: the eras, ascending.
        scores: (eras, U) by the score's name; NaN where there is none.
        missing: (eras, U) how many predictions are missing.
        counted: (eras,) numbers of rows, by what is counted: "rows", "without_target" and so on.
        faulted: the names of the scores that are missing, by the fault that explains it.
        engine: the name of the engine that computed the scores.
        notes: what was ignored.
    """

    models: list[str]
    benchmarks: list[str]
    labels: list[Label]
    scores: dict[str, Floats]
    missing: Integers
    counted: dict[str, Integers]
    faulted: dict[EraFault, list[str]]
    engine: str
    notes: tuple[str, ...] = ()

    def columns(self, table: str) -> dict[str, Any]:
        """Return a table's columns by name.

        Args:
            table: "eras", "summary", "faults" or "counts"; see the properties of `Evaluation`.
        """
        if table == "summary":
            return self._summary
        if table == "counts":
            return {"era": self.labels, **self.counted}
        if table == "faults":
            return {
                "era": [fault.era for fault in self.faulted],
                "model": [fault.model for fault in self.faulted],
                "scores": [", ".join(names) for names in self.faulted.values()],
                "code": [fault.code for fault in self.faulted],
                "detail": [fault.detail for fault in self.faulted],
                "remedy": [CODES[fault.code].remedy for fault in self.faulted],
            }
        return {
            "era": [label for label in self.labels for _ in self.models],
            "model": self.models * len(self.labels),
            "missing": self.missing.reshape(-1),
            **{name: scores.reshape(-1) for name, scores in self.scores.items()},
        }

    @cached_property
    def _summary(self) -> dict[str, Any]:
        rows: list[tuple[str, str, str, Summary]] = []
        for name, scores in self.scores.items():
            for model, own in zip(self.models, scores.T, strict=True):
                rows.append((model, name, "", summarize(own)))
                for benchmark in self.benchmarks:
                    if benchmark != model:
                        theirs = scores[:, self.models.index(benchmark)]
                        rows.append((model, name, benchmark, summarize(own - theirs)))
        models, names, against, found = zip(*rows, strict=True)
        columns = {"model": list(models), "score": list(names), "against": list(against)}
        statistics = zip(Summary._fields, zip(*found, strict=True), strict=True)
        return columns | {name: np.array(values) for name, values in statistics}

    @property
    def absent(self) -> int:
        """Return how many scores are missing."""
        return sum(int(np.isnan(scores).sum()) for scores in self.scores.values())

    def order(self, score: str) -> Integers:
        """Return the models' places from a score's highest mean to its lowest; unscored last."""
        present = ~np.isnan(self.scores[score])
        sums = np.where(present, self.scores[score], 0.0).sum(axis=0)
        means = np.where(present.any(axis=0), sums / np.maximum(present.sum(axis=0), 1), -np.inf)
        return np.argsort(-means, kind="stable")

    def describe(self) -> str:
        """Return in one line what was evaluated and how."""
        text = (
            f"{len(self.models):,} models, {len(self.labels):,} eras,"
            f" {int(self.counted['rows'].sum()):,} rows, engine {self.engine}"
        )
        return text + (f", {self.absent:,} scores missing" if self.absent else "")

    def __repr__(self) -> str:
        """Return what was evaluated."""
        return f"<{type(self).__name__}: {self.describe()}>"
