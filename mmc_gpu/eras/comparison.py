"""Which models can be compared over which eras, and how they stand: in one score, on one target."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.metrics import metric_of
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
        better: whether a higher or a lower score is better, or neither: nobody is then the best.
        return_like: whether there are Sharpe ratios; see `Metric`.
        scores: (eras, U) as they were computed, NaN where there is none.
        used: (eras, U) the same, NaN also in the eras that do not count for a model.
        enough: (U,) whether a model has enough eras to be compared.
        had: (U,) how many of E each model has.
        of: how many eras E are.
        sentence: over which eras the models are compared, such as "over 479 eras that all 21 have".
        overlap: how many neighbouring eras the target overlaps.
        overlap_said: the same in words, and how it is known.
        trials: the models that were tried; None for those of the table.
        meta_model: (eras,) the meta model's own score where it counts; None where there is none.
    """

    models: list[str]
    benchmarks: list[str]
    target: str
    score: str
    better: Literal["higher", "lower", "neither"]
    return_like: bool
    scores: Floats
    used: Floats
    enough: Any
    had: Integers
    of: int
    sentence: str
    overlap: int
    overlap_said: str
    trials: int | None
    meta_model: Floats | None = None

    @cached_property
    def order(self) -> list[int]:
        """Return places of the models that are compared, best first, benchmarks among them."""
        means = self.mean if self.better == "lower" else -self.mean
        return [place for place in np.argsort(means, kind="stable").tolist() if self.enough[place]]

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

    @cached_property
    def eras(self) -> Integers:
        """Return over how many eras each model is compared, or has scores at all: (U,)."""
        return np.sum(~np.isnan(self.used), axis=0)

    @cached_property
    def mean(self) -> Floats:
        """Return each model's mean over these eras: (U,)."""
        return means(self.used)

    def note(self, place: int) -> str:
        """Return why a model is not compared: "too few eras: n of E"; "" if it is."""
        if self.enough[place]:
            return ""
        return f"too few eras: {self.had[place]:,} of {self.of:,}"

    @cached_property
    def own(self) -> Estimates:
        """Return each model's mean and Sharpe ratio, and how far they can be trusted: (U,) each."""
        parts = (self.order, self.few)  # those with gaps would widen the others' intervals
        return self._kinds(_together(self.used, parts, self.overlap))

    def against(self, benchmark: str) -> Estimates:
        """Return the same of each model's score less a benchmark's, over the eras that both have.

        The p-value is that of no difference. The benchmark's own place holds NaN.
        """
        theirs = self.models.index(benchmark)
        differences = self.scores - self.scores[:, [theirs]]
        differences[:, theirs] = np.nan
        return self._kinds(_together(differences, (self.order, self.few), self.overlap))

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
        """Return the same of the meta model itself: (1,) each; None where it has no such score."""
        if self.meta_model is None:
            return None
        return self._kinds(estimate(self.meta_model[:, None], self.overlap))

    @cached_property
    def deflated_sharpe(self) -> Floats:
        """Return how likely each Sharpe ratio is no luck of the best of so many trials: (U,)."""
        found = np.full(len(self.models), np.nan)
        if self.return_like:
            among, compared = self.own.sharpe[self.ranked], [*self.order, *self.few]
            values = self.used[:, compared]
            found[compared] = deflated_sharpe(values, self.overlap, self.trials, among)
        return found

    def _kinds(self, found: Estimates) -> Estimates:
        """Return estimates without Sharpe ratios where scores are not like returns."""
        if self.return_like:
            return found
        none = {
            name: np.full_like(found.mean, np.nan) for name in found._fields if "sharpe" in name
        }
        return found._replace(**none)


def stand(
    models: list[str],
    benchmarks: list[str],
    target: str,
    score: str,
    scores: Floats,
    labels: Sequence[Any],
    how: Comparing,
    meta_model: Floats | None = None,
) -> Standing:
    """Return how models stand in one score on one target.

    Args:
        models: their names.
        benchmarks: the names of those with which the others are compared.
        target: its name; "" where there is none.
        score: its name.
        scores: (eras, U), NaN where there is none.
        labels: the eras, ascending.
        how: the options.
        meta_model: (eras,) the meta model's own score.
    """
    present, metric = ~np.isnan(scores), metric_of(score, benchmarks)
    counts = np.array([name not in benchmarks for name in models])
    counts = counts if counts.any() else ~counts
    having = present[:, counts].sum(axis=1)
    expected = (having > 0) & (2 * having >= counts.sum())
    of, had = int(expected.sum()), present[expected].sum(axis=0)
    enough = (had > 0) & (had >= how.least * of - 1e-9)
    all_have = present[:, enough & counts].all(axis=1)
    common, compared = expected & all_have, int((enough & counts).sum())
    shared = how.over == "common" and 2 * common.sum() >= of
    counting = np.where(shared & enough, common[:, None], present)
    used = np.where(counting, scores, np.nan)
    overlap, overlap_said = overlap_of(target, labels, how.overlap)
    if meta_model is not None:
        meta_model = np.where(common if shared else expected, meta_model, np.nan)
    return Standing(
        models=models,
        benchmarks=benchmarks,
        target=target,
        score=score,
        better=metric.better,
        return_like=metric.return_like,
        scores=scores,
        used=used,
        enough=enough,
        had=had,
        of=of,
        sentence=_sentence(how.over, shared, int(common.sum()), of, compared, had[enough & counts]),
        overlap=overlap,
        overlap_said=overlap_said,
        trials=how.trials,
        meta_model=meta_model,
    )


def _sentence(over: Over, shared: bool, common: int, of: int, models: int, had: Integers) -> str:
    if not models:
        return f"no model has enough of {counted(of, 'era')}"
    if shared:
        who = "the one model has" if models == 1 else f"all {models:,} have"
        return f"over {counted(common, 'era')} that {who}"
    least, most = int(had.min()), int(had.max())
    own = f"each over its own eras, {least:,}" + (f" to {most:,}" if most > least else "")
    if over == "own":
        return f"{own} of {of:,}"
    return f"only {common:,} of {counted(of, 'era')} are common to all {models:,}: {own}"


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

    def row(place: int | None) -> Iterator[Any]:
        if place is None:
            yield from (first.target, None, META_MODEL, META_MODEL)
            yield from (one.meta_mean for one in standings)
            yield from (one.meta_eras for one in standings)
            yield ""
            return
        name, apart = first.models[place], first.note(place)
        yield from (first.target, None if first.better == "neither" else rank.get(place), name)
        yield "benchmark" if name in first.benchmarks else "model"
        for one in standings:
            yield float(one.mean[place]) if one.enough[place] or apart else np.nan
        yield from (int(one.eras[place]) for one in standings)
        notes = (f"{one.score}: {one.note(place)}" for one in others if one.of and one.note(place))
        yield apart or "; ".join(notes)

    scores = [one.score for one in standings]
    names = ["target", "rank", "model", "kind", *scores, "eras"]
    names += [f"eras_{one.score}" for one in others] + ["note"]
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
            name = one.models[place]
            for against, found in parts.items():
                if against != name:
                    deflated = one.deflated_sharpe[place] if against == "" else np.nan
                    numbers = [values[place] for values in found]
                    key = one.target, name, one.score, against
                    rows.append((*key, *numbers, deflated, one.note(place)))
        if one.of_meta_model:
            numbers = [values[0] for values in one.of_meta_model]
            rows.append((one.target, META_MODEL, one.score, "", *numbers, np.nan, ""))
    names = ("target", "model", "score", "against", *Estimates._fields, "deflated_sharpe", "note")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    numeric = {name: np.array(columns[name]) for name in names[4:-1]}
    return columns | numeric | {"eras": numeric["eras"].astype(np.int64)}


def _together(scores: Floats, parts: Sequence[list[int]], overlap: int) -> Estimates:
    """Return the estimates of some models and of others, each over their own eras, as one."""
    found = Estimates(*np.full((len(Estimates._fields), scores.shape[1]), np.nan))
    for part in parts:
        for values, estimates in zip(found, estimate(scores[:, part], overlap), strict=True):
            values[part] = estimates
    return found
