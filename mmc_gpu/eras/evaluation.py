"""Models over eras: every era's scores, their summary, and why some scores are missing."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.columns import Label
from mmc_gpu.eras.comparison import (
    Comparing,
    Over,
    Standing,
    stand,
    table_columns,
    uncertainty_columns,
)
from mmc_gpu.errors import CODES, counted, shown, whole
from mmc_gpu.metrics.summary import Summary

EVERY_MODEL = "*"  # stands for the model in a fault that concerns all models

EVERY_TARGET = "*"  # stands for the target in a fault that concerns all targets

OF_META_MODEL = "meta_model_"
"""How the columns of `counts` begin that hold the meta model's own scores."""


class EraFault(NamedTuple):
    """Why a model has no score in an era."""

    era: Label
    model: str  # the model's name; "*" for every model
    code: str  # a key of `CODES`
    detail: str  # what was found, with its numbers
    target: str = EVERY_TARGET  # the target's name; "*" for every target


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
        meta_model: (targets, eras) the meta model's own score, by the score's name.
        how: how models are compared; see `compare`.
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
    meta_model: dict[str, Floats] = field(default_factory=dict)
    how: Comparing = field(default_factory=Comparing)

    def compare(
        self,
        over: Over = "common",
        least: float = 0.9,
        overlap: int | None = None,
        trials: int | None = None,
        recent: int | None = None,
    ) -> Self:
        """Return the same scores, compared otherwise: in tables, plots, pages and files.

        Args:
            over: models are compared over the eras that all of them have ("common"), or each over
                its own ("own").
            least: share of the eras that a model must have; the others stand apart, without a rank.
                The eras are those in which at least half of the models have the score.
            overlap: how many neighbouring eras the targets overlap; by default 4 for 20 days and 12
                for 60, as the target's name says (`_20`, `_60`), else 4.
            trials: how many models were tried, for the deflated Sharpe ratio; by default those of
                the table.
            recent: how many eras are kept, the last ones that have the first score; by default all.

        Raises:
            ValueError: an option is out of its range.
        """
        how = Comparing(over, least, overlap, trials).check()
        if recent is None:
            return replace(self, how=how)
        scored = ~np.isnan(next(iter(self.scores.values()))).all(axis=(0, 2))
        start = int(np.flatnonzero(scored)[-whole("recent", recent, 1, int(scored.sum()))])
        gone = set(self.labels[:start])
        return replace(
            self,
            labels=self.labels[start:],
            scores={name: values[:, start:] for name, values in self.scores.items()},
            missing=self.missing[start:],
            counted={name: values[:, start:] for name, values in self.counted.items()},
            faulted={one: names for one, names in self.faulted.items() if one.era not in gone},
            meta_model={name: values[:, start:] for name, values in self.meta_model.items()},
            how=how,
        )

    @cached_property
    def standings(self) -> list[Standing]:
        """Return how the models stand in each score, target by target."""
        known = self.models, self.benchmarks
        return [
            stand(*known, target, name, scores[number], self.labels, self.how, meta[number])
            for number, target in enumerate(self.targets)
            for name, scores in self.scores.items()
            for meta in [self.meta_model.get(name, [None] * len(self.targets))]
        ]

    def standing(self, score: str | None = None, target: str | None = None) -> Standing:
        """Return how the models stand in one score; by default the first, on the first target.

        Raises:
            ValueError: there is no such score or target.
        """
        name = next(iter(self.scores)) if score is None else score
        target = self.targets[0] if target is None else target
        for what, one, known in ("score", name, self.scores), ("target", target, self.targets):
            if one not in list(known):
                has = f"in this evaluation; it has {shown(known, 10)}"
                raise ValueError(f"no {what} {shown([one])} {has}")
        at = self.targets.index(target) * len(self.scores) + list(self.scores).index(name)
        return self.standings[at]

    def columns(self, table: str) -> dict[str, Any]:
        """Return a table's columns by name; rows target by target.

        Args:
            table: "table", "uncertainty", "eras", "summary", "faults" or "counts"; see the
                properties of `Evaluation`.
        """
        if table == "table":
            each, size = self.standings, len(self.scores)
            starts = range(0, len(each), size)
            tables = [table_columns(each[start : start + size]) for start in starts]
            return {name: [cell for one in tables for cell in one[name]] for name in tables[0]}
        if table == "uncertainty":
            return uncertainty_columns(self.standings)
        if table == "summary":
            return self._summary
        if table == "counts":
            counts = {name: values.reshape(-1) for name, values in self.counted.items()}
            own = {f"{OF_META_MODEL}{name}": x.reshape(-1) for name, x in self.meta_model.items()}
            return self._of_each_target(self.labels) | counts | own
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
        for one in self.standings:
            parts = {name: one.summaries(name) for name in ("", *self.benchmarks)}
            for place, model in enumerate(self.models):
                rows += [
                    (one.target, model, one.score, against, found[place])
                    for against, found in parts.items()
                    if against != model
                ]
        *keys, statistics = map(list, zip(*rows, strict=True))
        names = ("target", "model", "score", "against")
        columns: dict[str, Any] = dict(zip(names, keys, strict=True))
        numbers = zip(Summary._fields, zip(*statistics, strict=True), strict=True)
        return columns | {name: np.array(values) for name, values in numbers}

    @property
    def absent(self) -> int:
        """Return how many scores are missing."""
        return sum(int(np.isnan(scores).sum()) for scores in self.scores.values())

    def order(self, score: str, number: int = 0) -> Integers:
        """Return the models' places in a score, the best first; those with too few eras last."""
        one = self.standing(score, self.targets[number])
        return np.array([*one.order, *one.few])

    def sentences(self, number: int = 0) -> list[str]:
        """Return over which eras models are compared, which scores differ in that, and overlaps."""
        scores = len(self.scores)
        each = self.standings[number * scores : (number + 1) * scores]
        scores_of: dict[str, list[str]] = {}
        for one in each:
            scores_of.setdefault(one.sentence, []).append(one.score)
        said = [f"{', '.join(names)}: {sentence}" for sentence, names in scores_of.items()]
        few = f"{counted(len(each[0].few), 'model')} without a rank: too few eras"
        return [
            *(said if len(said) > 1 else scores_of),
            *[few] * bool(each[0].few),
            each[0].overlap_said,
        ]

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
