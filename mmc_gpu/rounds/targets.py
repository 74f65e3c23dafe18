"""Targets: what the stocks of a round did."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mmc_gpu.engines.arrays import Floats, Numbers
from mmc_gpu.errors import WAITING, RoundError, as_text, counted, shown
from mmc_gpu.inputs.beside import beside, note_beside
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.frames import is_frame, is_pandas, take_array, take_frame, take_ids
from mmc_gpu.inputs.names import as_ids, as_user, check_names, first_ids

_FEWEST = 3  # stocks of the smallest round: with fewer targets a round waits


@dataclass
class Targets:
    """Targets as they came."""

    ids: list[str] | None  # (N,) the stocks; None where they are in order as they stand
    # (N,) float64 by the target's name; the leading one first. {} if none is known yet.
    values: dict[str, Floats]
    notes: list[str] = field(default_factory=list)  # what was ignored


Unresolved = Literal["error", "wait", "partial", "keep"]
"""What becomes of targets that are NaN: they are a fault, the round waits for them, they are left
out, or they stay (in a packed round, which is read again)."""


def take_targets(
    targets: Any,
    ids: Sequence[Any] | None = None,
    place: str = "targets",
    unresolved: Unresolved = "error",
) -> Targets:
    """Return the targets in a Series, a frame with one column a target, or a (stocks,) array.

    The one named `target` leads, else the first. In a frame, a column whose name begins with
    "target" is a target, and so is any other that `beside` takes for data.

    `ids` are those of the stocks of an array; `unresolved` says what becomes of NaN in a frame.
    Errors name the `place`.

    Raises:
        RoundError: the ids or the header are faulty, or there is no target; a target is not
            numeric, missing, infinite or constant; or the round waits.
    """
    if not (is_frame(targets) or is_pandas(targets, "Series")):
        values = take_array(targets, place, 1)
        stocks = None if ids is None else as_ids(ids, "ids=")
        return Targets(stocks, {"target": _checked(values, "target", stocks, place)})
    stocks, frame = take_ids(take_frame(targets, place))
    series = is_pandas(targets, "Series")
    check_names(["target" if name is None and series else name for name in frame.names], place)
    found, aside = {}, {}
    for column, name in enumerate(frame.names):
        label = "target" if name is None and series else as_text(as_user(name))
        named = series or label.strip().casefold().startswith("target")
        if not named and (what := beside(name, frame.column(column), stocks)):
            aside[name] = what
            continue
        values = numbers(frame.column(column), f"{place}: target {shown([label])}")
        found[label] = values.astype(np.float64)
    notes = note_beside(place, aside, "name a target 'target' or 'target_...'")
    if not found:
        ignored = "".join(f" ({note})" for note in notes)
        raise RoundError("column-missing", f"{place}: an id column but no target{ignored}")
    leading = sorted(found, key=lambda label: label != "target")
    taken = Targets(stocks, {label: found[label] for label in leading}, [*frame.notes, *notes])
    if unresolved in ("wait", "partial"):
        taken = _resolved(taken, unresolved == "partial", place)
    for name, target in taken.values.items():
        _checked(target, name, taken.ids, place, unresolved == "keep")
    return taken


def _resolved(targets: Targets, partial: bool, place: str) -> Targets:
    """Return the targets that are resolved, of stocks that have them all.

    Raises:
        RoundError: target-waiting: some are not resolved, or, if a part will do, nearly none are.
    """
    assert targets.ids is not None
    missing = np.isnan(np.array(list(targets.values.values())))
    if not missing.any():
        return targets
    begun = {name: target for name, target in targets.values.items() if not np.isnan(target).all()}
    kept = ~np.isnan(np.array([*begun.values()])).any(axis=0)
    if not partial or not begun or np.count_nonzero(kept) < _FEWEST:
        where = first_ids(missing.any(axis=0), targets.ids)
        raise RoundError(WAITING, f"{place}: targets are missing: {where}")
    ids = [targets.ids[place] for place in np.flatnonzero(kept).tolist()]
    note = f"{place}: {len(ids):,} of {counted(len(kept), 'stock')} have their targets, the others"
    later = [name for name in targets.values if name not in begun]
    notes = [f"{note} were left out"] if len(ids) < len(kept) else []
    notes += [f"{place}: no stock has {shown(later)} yet"] if later else []
    kept_values = {name: target[kept] for name, target in begun.items()}
    return Targets(ids, kept_values, [*targets.notes, *notes])


def _checked(
    values: Numbers, name: str, ids: list[str] | None, place: str, keep: bool = False
) -> Floats:
    """Return a target as float64, checked; NaN is no fault where it is kept."""
    target: Floats = values.astype(np.float64)
    where = f"{place}: target {shown([name])}"
    faults = {"target-missing": np.isnan(target) & (not keep), "target-infinite": np.isinf(target)}
    for code, wrong in faults.items():
        if wrong.any():
            raise RoundError(code, f"{where}: {first_ids(wrong, ids)}")
    if len(target) and target.min() == target.max():
        raise RoundError("target-constant", f"{where}: all {len(target):,} are {target[0]}")
    return target
