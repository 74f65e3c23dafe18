"""In what a table of a result differs from what was computed: for whom, and by how much."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import shown
from mmc_gpu.files.formats.source import Source
from mmc_gpu.files.results.folder import columns_of
from mmc_gpu.files.results.receipt import as_floats
from mmc_gpu.files.writing.tables import TABLES, json_bytes, table_rows

_WORST = 10  # values that are shown


def differing_values(source: Source, expected: Mapping[str, Any], own: bool) -> list[str]:
    """Return in what a table of numbers, a row for each user and target, is not what was computed.

    Columns that the table lacks are not compared; but a table of this version, its `own`, has all
    of them, in the same form.

    Raises:
        RoundError: it cannot be read; and what `columns_of` raises.
    """
    name, found = source.path.name, columns_of(source)
    if not has_intervals(found):  # without draws; a page that is written later adds none
        unknown = [None] * len(expected["user"])
        expected = {**expected, **{n: unknown for n in ("rank_low", "rank_high") if n in expected}}
    differences = differing_columns(name, found, expected, own)
    columns = {column: expected[column] for column in found if column in expected}
    if _same(source, found, columns):
        return differences
    keys = [column for column in ("target", "user") if column in expected]
    theirs, ours = (
        list(zip(*(table[key] for key in keys), strict=True)) for table in (found, expected)
    )
    if sorted(theirs) != sorted(ours):
        odd = sorted({key[-1] for key in set(ours) ^ set(theirs)})
        differences.append(f"{name}: not one row for each user and target: {shown(odd, _WORST)}")
    at = {key: row for row, key in enumerate(theirs)}
    rows = [row for row, key in enumerate(ours) if key in at]
    places = [at[ours[row]] for row in rows]
    scores = [column for column in columns if column not in keys]
    there = np.array([as_floats(found[column])[places] for column in scores])
    now = np.array([as_floats(expected[column])[rows] for column in scores])
    gaps = _gaps(there, now)
    if wrong := int(np.count_nonzero(gaps)):
        users = len({ours[rows[place]][-1] for place in np.flatnonzero(gaps.any(axis=0))})
        differ = f"{wrong:,} values of {users:,} users differ"
        differences.append(f"{name}: not the scores of this round: {differ}")
    for place in np.argsort(-gaps, axis=None, kind="stable")[: min(wrong, _WORST)]:
        column, row = divmod(int(place), len(rows))
        who = ", on ".join(shown([part]) for part in reversed(ours[rows[row]]))
        values = f"{there[column, row].item()!r} there, {now[column, row].item()!r} computed"
        differences.append(f"{name}: {who}, {scores[column]}: {values}")
    if own and not differences:
        differences.append(f"{name}: the scores of this round, in another form or order")
    return differences


def differing_columns(
    name: str, found: Collection[str], expected: Collection[str], own: bool
) -> list[str]:
    """Return which columns a table has and should not have; of an own one, also those it lacks."""
    odd = [column for column in found if column not in expected]
    odd += [column for column in expected if own and column not in found]
    return [f"{name}: a column too many, or none: {shown(odd)}"] if odd else []


def _same(source: Source, found: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
    """Return whether a table holds these columns and no others, to the bit and in this order."""
    suffix = source.path.suffix.removeprefix(".")
    if suffix == "json" and isinstance(said := json.loads(source.data), dict):
        return source.data == json_bytes(said | {"rows": table_rows(columns)})
    if suffix != "parquet":
        return source.data == TABLES[suffix](columns)
    return list(found) == list(columns) and all(
        _same_bits(found[name], as_floats(of) if None in of[:1] else np.asarray(of))
        for name, of in columns.items()
    )


def has_intervals(columns: Mapping[str, Any]) -> bool:
    """Return whether a table of scores has intervals of ranks, for which draws are needed."""
    return "rank_low" in columns and not np.isnan(as_floats(columns["rank_low"])).all()


def _same_bits(found: Any, expected: Any) -> bool:
    if expected.dtype.kind == "U":
        return [str(text) for text in found] == expected.tolist()
    return found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def _gaps(there: Floats, now: Floats) -> Floats:
    """Return how far (C, R) values lie apart, in units of a column's largest; 0 for equal bits."""
    tiny = np.finfo(float).tiny
    largest = np.fmax.reduce(np.abs(now), axis=1, initial=tiny, keepdims=True)
    with np.errstate(all="ignore"):
        gaps = np.nan_to_num(np.abs(there - now) / largest, nan=np.inf, posinf=np.inf)
    same = (there == now) & (np.signbit(there) == np.signbit(now))
    same |= np.isnan(there) & np.isnan(now)
    return np.where(same, 0.0, np.fmax(gaps, tiny))
