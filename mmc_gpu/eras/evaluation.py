"""Models over eras: every era's scores, what they amount to, and who has none where and why."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.board import EraFault
from mmc_gpu.eras.columns import Label
from mmc_gpu.errors import CODES
from mmc_gpu.metrics.summary import Summary, summarize

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class EraScores:
    """Scores of models over eras.

    Attributes:
        models: their names, benchmarks among them.
        benchmarks: those that the others are compared with.
        labels: the eras, ascending.
        scores: (eras, U) by the name of the score; NaN where there is none.
        missing: (eras, U) predictions missing.
        counted: (eras,) by name: rows, and rows without a target and so on.
        faulted: for each fault which scores it concerns.
        engine: what computed them.
    """

    models: list[str]
    benchmarks: list[str]
    labels: list[Label]
    scores: dict[str, Floats]
    missing: Integers
    counted: dict[str, Integers]
    faulted: dict[EraFault, list[str]]
    engine: str

    def columns(self, table: str) -> dict[str, Any]:
        """Return the columns of a table by name: eras, summary, faults or counts."""
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

    def order(self, score: str) -> Integers:
        """Return the models' places from the best mean of a score to the worst; unscored last."""
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
        absent = sum(int(np.isnan(scores).sum()) for scores in self.scores.values())
        return text + (f", {absent:,} scores missing" if absent else "")

    def __repr__(self) -> str:
        """Return what was evaluated."""
        return f"<{type(self).__name__}: {self.describe()}>"
