"""Which models can be compared over which eras, and how they stand: in one score, on one target."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.metrics import metric_of
from mmc_gpu.errors import as_given, counted, whole
from mmc_gpu.inputs.options import check_option
from mmc_gpu.metrics.summary import Summary, summaries
from mmc_gpu.metrics.uncertainty import Estimates, deflated_sharpe, estimate, means

Over = Literal["common", "own"]

META_MODEL = "meta model"  # stands for the meta model among the models' names, and for its kind

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
        """Return the same; raise a ValueError if an option is out of its range."""
        check_option("over", self.over, Over)
        if not (isinstance(self.least, Real) and 0 <= self.least <= 1):
            raise ValueError(f"least must be a share, from 0 to 1, not {as_given(self.least)}")
        for name, value in ("overlap", self.overlap), ("trials", self.trials):
            if value is not None:
                whole(name, value)
        return self


@dataclass(frozen=True, eq=False)
class Standing:
    """How models stand in one score on one target: all that a page or a table of it needs.

    E are the eras in which at least half of the models have the score; benchmarks count only where
    there is nothing else. Models with fewer than `least` of E are not compared. The others are
    compared over the eras of E that all of them have. If these are fewer than half of E, or with
    over="own", each is compared over its own eras instead.
    """

    models: list[str]
    benchmarks: list[str]  # those with which the others are compared; they get no rank
    target: str  # "" where there is none
    score: str
    better: Literal["higher", "lower", "neither"]  # nobody is the best where it is neither
    return_like: bool  # whether scores add up as returns do, and have Sharpe ratios
    scores: Floats  # (eras, U) as they were computed, NaN where there is none
    used: Floats  # (eras, U) NaN also in the eras that do not count for a model
    of: int  # how many eras E are
    had: Integers  # (U,) how many of E each model has
    enough: Any  # (U,) whether these are enough to be compared
    eras: Integers  # (U,) over how many eras each is compared; of the few, how many they have
    mean: Floats  # (U,) over these eras
    order: list[int]  # places of the models that are compared, best first, benchmarks among them
    few: list[int]  # places of those that have too few eras, the most eras first
    ranked: list[int]  # places of the models that have a rank, best first; no benchmarks
    sentence: str  # over which eras models are compared: "over 479 eras that all 21 have"
    overlap: int  # how many neighbouring eras the target overlaps
    overlap_said: str  # the same in words, and how it is known
    trials: int | None  # how many models were tried; None for those of the table
    meta_model: Floats | None  # (eras,) the meta model's own score where it counts
    meta_eras: int  # how many eras these are
    meta_mean: float  # over these eras
    # what `against` and `summaries` have found, by benchmark: tables and the page ask for the same
    _against: dict[str, Estimates] = field(default_factory=dict)
    _summaries: dict[str, list[Summary]] = field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """Return the best model's name; None where there is none, or neither way is better."""
        return self.models[self.ranked[0]] if self.ranked and self.better != "neither" else None

    def note(self, place: int) -> str:
        """Return why a model is not compared: "too few eras: n of E"; "" if it is."""
        return "" if self.enough[place] else f"too few eras: {self.had[place]:,} of {self.of:,}"

    @cached_property
    def own(self) -> Estimates:
        """Return each model's mean and Sharpe ratio, and how far they can be trusted: (U,) each."""
        return self._estimates(self.used, self.order, self.few)

    def against(self, benchmark: str) -> Estimates:
        """Return the same of each model's score less a benchmark's, over the eras that both have.

        The p-value is that of no difference. The benchmark's own place holds NaN.
        """
        if benchmark not in self._against:
            differences = self._less(benchmark)
            differences[:, self.models.index(benchmark)] = np.nan
            self._against[benchmark] = self._estimates(differences, self.order, self.few)
        return self._against[benchmark]

    def summaries(self, benchmark: str = "") -> list[Summary]:
        """Return the summary of each model's score, or of it less a benchmark's."""
        if benchmark not in self._summaries:
            scores = self._less(benchmark) if benchmark else self.scores
            self._summaries[benchmark] = summaries(scores, self.return_like)
        return self._summaries[benchmark]

    def _less(self, benchmark: str) -> Floats:
        return self.scores - self.scores[:, [self.models.index(benchmark)]]

    @cached_property
    def deflated_sharpe(self) -> Floats:
        """Return how likely each Sharpe ratio is no luck of the best of so many trials: (U,)."""
        if not self.return_like:
            return np.full(len(self.models), np.nan)
        among = self.own.sharpe[self.ranked]
        return deflated_sharpe(self.used, self.overlap, self.trials, among)

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


def stand(
    models: list[str],
    benchmarks: list[str],
    target: str,
    score: str,
    scores: Floats,
    labels: Sequence[Any],
    how: Comparing,
    meta_model: Floats | None,
) -> Standing:
    """Return how models stand in one score on one target; see the attributes of `Standing`."""
    metric, present = metric_of(score, benchmarks), ~np.isnan(scores)
    counts = np.array([name not in benchmarks for name in models])
    counts = counts if counts.any() else ~counts  # who decides over which eras
    having = present[:, counts].sum(axis=1)
    expected = (having > 0) & (2 * having >= counts.sum())
    of, had = int(expected.sum()), present[expected].sum(axis=0)
    enough = (had > 0) & (had >= how.least * of - 1e-9)  # 0.55 * 100 is above 55
    common = expected & present[:, enough & counts].all(axis=1)
    shared = how.over == "common" and 2 * common.sum() >= of
    counting = common if shared else expected
    left_out = ~common[:, None] & enough & shared
    used = np.where(left_out, np.nan, scores) if left_out.any() else scores
    eras, mean = np.sum(~np.isnan(used), axis=0), means(used)
    places = np.argsort(mean if metric.better == "lower" else -mean, kind="stable").tolist()
    order = [place for place in places if enough[place]]
    overlap, overlap_said = overlap_of(target, labels, how.overlap)
    meta = np.where(counting, np.nan if meta_model is None else meta_model, np.nan)
    return Standing(
        *(models, benchmarks, target, score, metric.better, metric.return_like),
        scores,
        used,
        *(of, had, enough, eras, mean, order),
        few=[p for p in np.argsort(-had, kind="stable").tolist() if not enough[p]],
        ranked=[place for place in order if models[place] not in benchmarks],
        sentence=_sentence(how.over, shared, int(common.sum()), of, eras[enough & counts]),
        overlap=overlap,
        overlap_said=overlap_said,
        trials=how.trials,
        meta_model=None if meta_model is None else meta,
        meta_eras=int(np.sum(~np.isnan(meta))),
        meta_mean=float(means(meta[:, None])[0]),
    )


def _sentence(over: Over, shared: bool, common: int, of: int, compared: Integers) -> str:
    """Return over which eras models are compared; `compared` has how many each of them has."""
    if not len(compared):
        return f"no model has enough of {counted(of, 'era')}"
    if shared:
        who = "the one model has" if len(compared) == 1 else f"all {len(compared):,} have"
        return f"over {counted(common, 'era')} that {who}"
    own = " to ".join(f"{eras:,}" for eras in sorted({compared.min(), compared.max()}))
    few = f"only {common:,} of {counted(of, 'era')} are common to all {len(compared):,}: "
    return few * (over == "common") + f"each over its own eras, {own}"


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
    """Return one row a model, best in the first score first, and one column a score: its mean."""
    first, *others = standings
    rows: list[int | None] = [*first.order]
    if any(one.meta_model is not None for one in standings):  # its row has no place
        signed = np.array([*first.mean, first.meta_mean]) * (-1 if first.better == "lower" else 1)
        rows.insert(int(np.sum(~(signed[first.order] < signed[-1]))), None)
    rows += first.few
    rank = {place: number for number, place in enumerate(first.ranked, 1)}
    rank = {} if first.better == "neither" else rank

    def row(place: int | None) -> list[Any]:
        if place is None:
            mean, eras = [one.meta_mean for one in standings], [one.meta_eras for one in standings]
            return [first.target, None, META_MODEL, META_MODEL, *mean, *eras, ""]
        name, apart = first.models[place], first.note(place)
        kind = "benchmark" if name in first.benchmarks else "model"
        mean = [one.mean[place] if one.enough[place] or apart else np.nan for one in standings]
        eras = [int(one.eras[place]) for one in standings]
        notes = (f"{one.score}: {one.note(place)}" for one in others if one.of and one.note(place))
        note = apart or "; ".join(notes)
        return [first.target, rank.get(place), name, kind, *map(float, mean), *eras, note]

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
