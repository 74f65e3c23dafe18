"""Targets: what the stocks of a round did."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Numbers
from mmc_gpu.errors import RoundError, as_text, shown
from mmc_gpu.inputs.beside import beside, note_beside
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.frames import is_frame, is_pandas, take_array, take_frame, take_ids
from mmc_gpu.inputs.names import as_ids, as_user, check_names, first_ids


@dataclass
class Targets:
    """Targets as they came.

    Attributes:
        ids: (N,) the stocks; None where they are in order as they stand.
        values: (N,) float64 by the target's name; the leading one first.
        notes: what was ignored.
    """

    ids: list[str] | None
    values: dict[str, Floats]
    notes: list[str] = field(default_factory=list)


def take_targets(targets: Any, ids: Sequence[Any] | None = None, place: str = "targets") -> Targets:
    """Return the targets in a Series, a frame with one column a target, or a (stocks,) array.

    The one named `target` leads, else the first. In a frame, a column whose name begins with
    "target" is a target, and so is any other that `beside` takes for data.

    Args:
        targets: as above.
        ids: for an array, the ids of its stocks.
        place: what to name in an error.

    Raises:
        RoundError: the ids or the header are faulty, or there is no target; a target is not
            numeric, missing, infinite or constant.
    """
    if not (is_frame(targets) or is_pandas(targets, "Series")):
        values = take_array(targets, place, 1)
        stocks = None if ids is None else as_ids(ids, "ids=")
        return Targets(stocks, {"target": _checked(values, "target", stocks, place)})
    stocks, frame = take_ids(take_frame(targets, place))
    series = is_pandas(targets, "Series")
    check_names(["target" if name is None and series else name for name in frame.names], place)
    checked, aside = {}, {}
    for column, name in enumerate(frame.names):
        label = "target" if name is None and series else as_text(as_user(name))
        named = series or label.strip().casefold().startswith("target")
        if not named and (what := beside(name, frame.column(column), stocks)):
            aside[name] = what
            continue
        values = numbers(frame.column(column), f"{place}: target {shown([label])}")
        checked[label] = _checked(values, label, stocks, place)
    notes = note_beside(place, aside, "name a target 'target' or 'target_...'")
    if not checked:
        found = "".join(f" ({note})" for note in notes)
        raise RoundError("column-missing", f"{place}: an id column but no target{found}")
    leading = sorted(checked, key=lambda label: label != "target")
    return Targets(stocks, {label: checked[label] for label in leading}, [*frame.notes, *notes])


def _checked(values: Numbers, name: str, ids: list[str] | None, place: str) -> Floats:
    target: Floats = values.astype(np.float64)
    where = f"{place}: target {shown([name])}"
    for code, wrong in (
        ("target-missing", np.isnan(target)),
        ("target-infinite", np.isinf(target)),
    ):
        if wrong.any():
            raise RoundError(code, f"{where}: {first_ids(wrong, ids)}")
    if len(target) and target.min() == target.max():
        raise RoundError("target-constant", f"{where}: all {len(target):,} are {target[0]}")
    return target
