"""Which models can be compared over which eras, and how they stand: in one score, on one target."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.metrics import Metric, metric_of
from mmc_gpu.errors import counted
from mmc_gpu.metrics.uncertainty import Estimates, deflated_sharpe, estimate, means

Over = Literal["common", "own"]

META_MODEL = "meta model"
"""Stands for the meta model among the models' names, and for its kind."""

_WEEKS = 4
"""The weeks that targets overlap if nothing says it: Numerai's `target` is one of 20 days."""

_DAYS = re.compile(r"_(\d\d\d?)d?$")
_NUMBER = re.compile(r"(?:era)? *(\d{1,5})", re.IGNORECASE)


class Comparing(NamedTuple):
    """How models are compared; see `Evaluation.compare`."""

    over: Over = "common"
    least: float = 0.9
    overlap: int | None = None
    trials: int | None = None

    def check(self) -> "Comparing":
        """Return the same.

        Raises:
            ValueError: an option is out of its range.
        """
        if self.over not in get_args(Over):
            raise ValueError(f"over: {self.over!r}; it is one of {', '.join(get_args(Over))}")
        if not 0 <= self.least <= 1:
            raise ValueError(f"least: {self.least!r} is no share, 0 to 1")
        for name in ("overlap", "trials"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name}: {value!r} is no whole number from 1 up")
        return self


@dataclass(frozen=True, eq=False)
class Standing:
    """How models stand in one score on one target; all that a page or a table of it needs.

    E are the eras in which at least half of the models have the score; benchmarks count only where
    there is nothing else. Models with fewer than `least` of E are not compared. The others are
    compared over the eras of E that all of them have. If these are fewer than half of E, or with
    over="own", each is compared over its own eras instead.

    Attributes:
        models: the models' names.
        benchmarks: the names of those with which the others are compared; they get no rank.
        target: its name; "" where there is none.
        score: its name.
        scores: (eras, U) as they were computed, NaN where there is none.
        labels: the eras, ascending.
        how: the options.
        of_meta: (eras,) the meta model's own score; None where it has none.
    """

    models: list[str]
    benchmarks: list[str]
    target: str
    score: str
    scores: Floats
    labels: Sequence[Any]
    how: Comparing
    of_meta: Floats | None = None

    @cached_property
    def _metric(self) -> Metric:
        return metric_of(self.score, self.benchmarks)

    @property
    def better(self) -> Literal["higher", "lower", "neither"]:
        """Return whether a higher or a lower score is better, or neither: nobody is the best."""
        return self._metric.better

    @property
    def return_like(self) -> bool:
        """Return whether scores add up as returns do, so that there are Sharpe ratios."""
        return self._metric.return_like

    @cached_property
    def _counts(self) -> Any:
        """Return who decides over which eras models are compared: (U,)."""
        models = np.array([name not in self.benchmarks for name in self.models])
        return models if models.any() else ~models

    @cached_property
    def _expected(self) -> Any:
        """Return which eras E are: (eras,)."""
        having = np.sum(~np.isnan(self.scores[:, self._counts]), axis=1)
        return (having > 0) & (2 * having >= np.sum(self._counts))

    @cached_property
    def of(self) -> int:
        """Return how many eras E are."""
        return int(np.sum(self._expected))

    @cached_property
    def had(self) -> Integers:
        """Return how many eras of E each model has: (U,)."""
        return np.sum(~np.isnan(self.scores[self._expected]), axis=0)

    @cached_property
    def enough(self) -> Any:
        """Return which models have enough eras to be compared: (U,)."""
        return (self.had > 0) & (self.had >= self.how.least * self.of - 1e-9)

    @cached_property
    def _common(self) -> Any:
        """Return which eras of E all have that are compared: (eras,)."""
        compared = self.scores[:, self.enough & self._counts]
        return self._expected & ~np.isnan(compared).any(axis=1)

    @property
    def _shared(self) -> bool:
        return self.how.over == "common" and bool(2 * np.sum(self._common) >= self.of)

    @cached_property
    def used(self) -> Floats:
        """Return the scores, NaN also in the eras that do not count for a model: (eras, U)."""
        left_out = ~self._common[:, None] & self.enough & self._shared
        return np.where(left_out, np.nan, self.scores)

    @cached_property
    def sentence(self) -> str:
        """Return over which eras models are compared, such as "over 479 eras that all 21 have"."""
        compared, common = self.had[self.enough & self._counts], int(np.sum(self._common))
        of = counted(self.of, "era")
        if not len(compared):
            return f"no model has enough of {of}"
        if self._shared:
            who = "the one model has" if len(compared) == 1 else f"all {len(compared):,} have"
            return f"over {counted(common, 'era')} that {who}"
        own = " to ".join(f"{eras:,}" for eras in sorted({compared.min(), compared.max()}))
        own = f"each over its own eras, {own}"
        if self.how.over == "own":
            return f"{own} of {self.of:,}"
        return f"only {common:,} of {of} are common to all {len(compared):,}: {own}"

    @cached_property
    def _overlap(self) -> tuple[int, str]:
        return overlap_of(self.target, self.labels, self.how.overlap)

    @property
    def overlap(self) -> int:
        """Return how many neighbouring eras the target overlaps."""
        return self._overlap[0]

    @property
    def overlap_said(self) -> str:
        """Return the same in words, and how it is known."""
        return self._overlap[1]

    @cached_property
    def order(self) -> list[int]:
        """Return places of the models that are compared, best first, benchmarks among them."""
        signed = self.mean if self.better == "lower" else -self.mean
        return [place for place in np.argsort(signed, kind="stable").tolist() if self.enough[place]]

    @cached_property
    def few(self) -> list[int]:
        """Return places of those that have too few eras, the most eras first."""
        places = np.argsort(-self.had, kind="stable").tolist()
        return [place for place in places if not self.enough[place]]

    @cached_property
    def ranked(self) -> list[int]:
        """Return places of the models that are ranked, best first; not the benchmarks."""
        return [place for place in self.order if self.models[place] not in self.benchmarks]

    @property
    def best(self) -> str | None:
        """Return the best model's name; None where there is none, or neither way is better."""
        return self.models[self.ranked[0]] if self.ranked and self.better != "neither" else None

    def note(self, place: int) -> str:
        """Return why a model is not compared: "too few eras: n of E"; "" if it is."""
        few = f"too few eras: {self.had[place]:,} of {self.of:,}"
        return "" if self.enough[place] else few

    @cached_property
    def eras(self) -> Integers:
        """Return over how many eras each model is compared, or has scores at all: (U,)."""
        return np.sum(~np.isnan(self.used), axis=0)

    @cached_property
    def mean(self) -> Floats:
        """Return each model's mean over these eras: (U,)."""
        return means(self.used)

    @cached_property
    def own(self) -> Estimates:
        """Return each model's mean and Sharpe ratio, and how far they can be trusted: (U,) each."""
        return self._estimates(self.used, self.order, self.few)

    def against(self, benchmark: str) -> Estimates:
        """Return the same of each model's score less a benchmark's, over the eras that both have.

        The p-value is that of no difference. The benchmark's own place holds NaN.
        """
        theirs = self.models.index(benchmark)
        differences = self.scores - self.scores[:, [theirs]]
        differences[:, theirs] = np.nan
        return self._estimates(differences, self.order, self.few)

    @cached_property
    def deflated_sharpe(self) -> Floats:
        """Return how likely each Sharpe ratio is no luck of the best of so many trials: (U,)."""
        if not self.return_like:
            return np.full(len(self.models), np.nan)
        among = self.own.sharpe[self.ranked]
        return deflated_sharpe(self.used, self.overlap, self.how.trials, among)

    @cached_property
    def meta_model(self) -> Floats | None:
        """Return the meta model's own score where it counts: (eras,); None if there is none."""
        counting = self._common if self._shared else self._expected
        return None if self.of_meta is None else np.where(counting, self.of_meta, np.nan)

    @property
    def meta_eras(self) -> int:
        """Return over how many eras the meta model stands beside the models."""
        return 0 if self.meta_model is None else int(np.sum(~np.isnan(self.meta_model)))

    @cached_property
    def meta_mean(self) -> float:
        """Return the meta model's mean over these eras; NaN where it has no such score."""
        return float("nan" if self.meta_model is None else means(self.meta_model[:, None])[0])

    @cached_property
    def of_meta_model(self) -> Estimates | None:
        """Return what `own` is, of the meta model: (1,) each; None where it has no such score."""
        return None if self.meta_model is None else self._estimates(self.meta_model[:, None], [0])

    def _estimates(self, scores: Floats, *parts: list[int]) -> Estimates:
        """Return estimates; each part by itself: gaps of the few would widen others' intervals."""
        found = Estimates(*np.full((len(Estimates._fields), scores.shape[1]), np.nan))
        for part in parts:
            one = estimate(scores[:, part], self.overlap)
            for name, into, values in zip(found._fields, found, one, strict=True):
                into[part] = values if self.return_like or "sharpe" not in name else np.nan
        return found


def overlap_of(target: str, labels: Sequence[Any], overlap: int | None) -> tuple[int, str]:
    """Return how many neighbouring eras a target overlaps, and a sentence that says why.

    20 days are 4 weeks. Where every k-th era alone is there, k times fewer eras overlap.
    """
    if overlap is not None:
        return overlap, f"targets overlap {counted(overlap, 'era')}, as given"
    days = _DAYS.search(target)
    weeks = math.ceil(int(days[1]) / 5) if days else _WEEKS
    found = [_NUMBER.fullmatch(str(label).strip()) for label in labels]
    numbers = [int(number[1]) for number in found if number]
    steps = np.diff(numbers) if len(numbers) == len(labels) > 1 else np.ones(1)
    step = max(1, int(np.median(steps)))
    eras = max(1, math.ceil(weeks / step))
    text = f"targets overlap {counted(eras, 'era')}"
    text += f", since they last {days[1]} days" if days else ", which is assumed (overlap=)"
    return eras, text + (f" and every {step}th era is there" if step > 1 else "")


def table_columns(standings: Sequence[Standing]) -> dict[str, list[Any]]:
    """Return one row a model, best in the first score first, and one column a score: its mean.

    Args:
        standings: how the models stand in each score on one target, at least one.
    """
    first, *others = standings
    rows: list[int | None] = [*first.order]
    if any(one.meta_model is not None for one in standings):  # its row has no place
        signed = np.array([*first.mean, first.meta_mean]) * (-1 if first.better == "lower" else 1)
        rows.insert(int(np.sum(~(signed[first.order] < signed[-1]))), None)
    rows += first.few
    rank = {place: number for number, place in enumerate(first.ranked, 1)}
    rank = {} if first.better == "neither" else rank

    def row(place: int | None) -> Iterator[Any]:
        if place is None:
            yield from (first.target, None, META_MODEL, META_MODEL)
            yield from (one.meta_mean for one in standings)
            yield from (one.meta_eras for one in standings)
            yield ""
            return
        name, apart = first.models[place], first.note(place)
        yield from (first.target, rank.get(place), name)
        yield "benchmark" if name in first.benchmarks else "model"
        for one in standings:
            yield float(one.mean[place]) if one.enough[place] or apart else np.nan
        yield from (int(one.eras[place]) for one in standings)
        notes = (f"{one.score}: {one.note(place)}" for one in others if one.of and one.note(place))
        yield apart or "; ".join(notes)

    scores, further = [one.score for one in standings], [f"eras_{one.score}" for one in others]
    names = ["target", "rank", "model", "kind", *scores, "eras", *further, "note"]
    return dict(zip(names, map(list, zip(*map(row, rows), strict=True)), strict=True))


def uncertainty_columns(standings: Sequence[Standing]) -> dict[str, Any]:
    """Return one row a target, score, model and benchmark that is subtracted; best first.

    `against` is "" where the score itself is meant. The statistics are those of `Estimates`, and
    the deflated Sharpe ratio.
    """
    rows: list[tuple[Any, ...]] = []
    for one in standings:
        parts = {"": one.own} | {name: one.against(name) for name in one.benchmarks}
        for place in [*one.order, *one.few]:
            name, note = one.models[place], one.note(place)
            for against, found in parts.items():
                if against != name:
                    deflated = np.nan if against else one.deflated_sharpe[place]
                    numbers = [values[place] for values in found]
                    rows.append((one.target, name, one.score, against, *numbers, deflated, note))
        if one.of_meta_model:
            numbers = [values[0] for values in one.of_meta_model]
            rows.append((one.target, META_MODEL, one.score, "", *numbers, np.nan, ""))
    names = ("target", "model", "score", "against", *Estimates._fields, "deflated_sharpe", "note")
    columns: dict[str, Any] = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns |= {name: np.array(columns[name]) for name in names[4:-1]}
    return columns | {"eras": columns["eras"].astype(np.int64)}
