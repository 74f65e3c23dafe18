"""Models over eras: every era's scores, their summary, and why some scores are missing."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.columns import Label
from mmc_gpu.errors import CODES, counted
from mmc_gpu.metrics.summary import Summary, summarize

EVERY_MODEL = "*"
"""Stands for the model in a fault that concerns all models."""

EVERY_TARGET = "*"
"""Stands for the target in a fault that concerns all targets."""


class EraFault(NamedTuple):
    """Why a model has no score in an era.

    Attributes:
        era: the era.
        model: the model's name; "*" for every model.
        code: a key of `CODES`.
        detail: what was found.
        target: the target's name; "*" for every target.
    """

    era: Label
    model: str
    code: str
    detail: str
    target: str = EVERY_TARGET


@dataclass(frozen=True, eq=False)
class EraScores:
    """Scores of models over eras.

    Attributes:
        models: the models' names, benchmarks among them.
        benchmarks: the names of the models that the others are compared with.
        targets: the targets' names; one that is "" where there is no target.
        labels: the eras, ascending.
        scores: (targets, eras, U) by the score's name; NaN where there is none. A score that does
            not need the target is the same for every target.
        missing: (eras, U) how many predictions are missing.
        counted: (targets, eras) numbers of rows, by what is counted: "rows", "without_target" and
            so on.
        faulted: the names of the scores that are missing, by the fault that explains it.
        engine: the name of the engine that computed the scores.
        notes: what was ignored.
    """

    models: list[str]
    benchmarks: list[str]
    targets: list[str]
    labels: list[Label]
    scores: dict[str, Floats]
    missing: Integers
    counted: dict[str, Integers]
    faulted: dict[EraFault, list[str]]
    engine: str
    notes: tuple[str, ...] = ()

    def columns(self, table: str) -> dict[str, Any]:
        """Return a table's columns by name; rows target by target.

        Args:
            table: "eras", "summary", "faults" or "counts"; see the properties of `Evaluation`.
        """
        if table == "summary":
            return self._summary
        if table == "counts":
            counts = {name: values.reshape(-1) for name, values in self.counted.items()}
            return self._of_each_target(self.labels) | counts
        if table == "faults":
            return {
                "target": [fault.target for fault in self.faulted],
                "era": [fault.era for fault in self.faulted],
                "model": [fault.model for fault in self.faulted],
                "scores": [", ".join(names) for names in self.faulted.values()],
                "code": [fault.code for fault in self.faulted],
                "detail": [fault.detail for fault in self.faulted],
                "remedy": [CODES[fault.code].remedy for fault in self.faulted],
            }
        return {
            **self._of_each_target([label for label in self.labels for _ in self.models]),
            "model": self.models * len(self.labels) * len(self.targets),
            "missing": np.tile(self.missing.reshape(-1), len(self.targets)),
            **{name: scores.reshape(-1) for name, scores in self.scores.items()},
        }

    def _of_each_target(self, labels: list[Label]) -> dict[str, Any]:
        """Return the first columns of a table with so many rows for each target."""
        targets = [target for target in self.targets for _ in labels]
        return {"target": targets, "era": labels * len(self.targets)}

    @cached_property
    def _summary(self) -> dict[str, Any]:
        rows: list[tuple[str, str, str, str, Summary]] = []
        for number, target in enumerate(self.targets):
            for name, scores in self.scores.items():
                for model, own in zip(self.models, scores[number].T, strict=True):
                    rows.append((target, model, name, "", summarize(own)))
                    for benchmark in self.benchmarks:
                        if benchmark != model:
                            theirs = scores[number][:, self.models.index(benchmark)]
                            rows.append((target, model, name, benchmark, summarize(own - theirs)))
        *keys, found = map(list, zip(*rows, strict=True))
        columns: dict[str, Any] = dict(
            zip(("target", "model", "score", "against"), keys, strict=True)
        )
        statistics = zip(Summary._fields, zip(*found, strict=True), strict=True)
        return columns | {name: np.array(values) for name, values in statistics}

    @property
    def absent(self) -> int:
        """Return how many scores are missing."""
        return sum(int(np.isnan(scores).sum()) for scores in self.scores.values())

    def order(self, score: str, number: int = 0) -> Integers:
        """Return the models' places from a score's highest mean to its lowest; unscored last.

        Args:
            score: its name.
            number: of the target.
        """
        scores = self.scores[score][number]
        present = ~np.isnan(scores)
        sums = np.where(present, scores, 0.0).sum(axis=0)
        means = np.where(present.any(axis=0), sums / np.maximum(present.sum(axis=0), 1), -np.inf)
        return np.argsort(-means, kind="stable")

    def describe(self) -> str:
        """Return in one line what was evaluated and how."""
        text = (
            f"{counted(len(self.models), 'model')}, {counted(len(self.labels), 'era')},"
            f" {counted(int(self.counted['rows'][0].sum()), 'row')}, engine {self.engine}"
        )
        if len(self.targets) > 1:
            text += f", {len(self.targets)} targets"
        return text + (f", {counted(self.absent, 'score')} missing" if self.absent else "")

    def __repr__(self) -> str:
        """Return what was evaluated."""
        return f"<{type(self).__name__}: {self.describe()}>"
