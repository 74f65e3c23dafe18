"""What stands in people's tables beside the data: row numbers, eras, dates, the ids once more."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mmc_gpu.errors import RoundError, as_text, shown
from mmc_gpu.inputs.columns import holds_floats, numbers
from mmc_gpu.inputs.names import is_null, listed

ROW_NUMBERS, IDS, INDEX, NO_NAME = "row numbers", "the ids", "pandas' index", "no name"
_DATES, _ERAS, _ONE_VALUE, _NOTHING = "dates", "eras", "one value", "no values"

_NAMELESS = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")
"""How pandas writes the name of a column, or of an index, that has none."""

_WORDS = {
    _DATES: re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?"),
    _ERAS: re.compile(r"era\w+|0\d+", re.IGNORECASE),
}
_BEGIN = 8  # values that are looked at first

_LARGEST = 2**32  # no file has more rows: larger whole numbers are data


def is_nameless(name: Any) -> bool:
    """Return whether a column has no name, also where pandas has written one for it."""
    text = name if isinstance(name, str) else "" if is_null(name) else as_text(name)
    return bool(_NAMELESS.fullmatch(text.strip()))


def beside(name: Any, column: Any, ids: Sequence[str] | None = None) -> str | None:
    """Return what a column holds if it stands beside the data; None if it may be data.

    The content decides, then a missing name; any other name changes nothing:

    - row numbers: whole numbers from 0 on, all different, in any order, with gaps or without;
    - one value: the same word in every row, or the same whole number above 1, as in `data_type` or
      `era`;
    - eras and dates: texts such as era12 and 0012; dates as a type, as text, or as 20240131;
    - the table's ids once more; and whatever has no name.

    Whole numbers of which some are equal may be data, and so may 0 and 1. Callers take a column
    that somebody names for what it is named: a target called `target` or `target_...`, a user whom
    the stakes list, a model that is asked for.

    A column is a NumPy array, a pandas Series or an Arrow column; `ids` are those of the table.
    """
    try:
        what = _among_numbers(numbers(column, ""))
    except RoundError:  # text, dates, categories
        what = _among_words(column, ids)
    if is_nameless(name):
        return what or NO_NAME
    return None if what == _NOTHING else what


def begin_whole(matrix: Any) -> Any:
    """Return which rows of numbers begin with whole ones: all others are data."""
    return _whole(np.nan_to_num(matrix[:, :_BEGIN])).all(axis=1)


def is_whole(column: Any) -> bool:
    """Return whether a column of numbers holds whole numbers only, where none is missing."""
    values = numbers(column, "")
    return bool((np.nan_to_num(values) == np.floor(np.nan_to_num(values))).all())


def note_beside(place: str, aside: Mapping[Any, str], remedy: str) -> list[str]:
    """Return a note on the columns that were ignored: what each holds, by name; none for none."""
    held = [
        f"{shown(['' if is_null(name) else as_text(name)])} ({what})"
        for name, what in aside.items()
    ]
    more = f" and {len(held) - 5:,} more" if len(held) > 5 else ""
    text = f"{place}: ignored, since it stands beside the data: {', '.join(held[:5])}{more}"
    return [f"{text}; {remedy}"] if held else []


def find_ids(names: Sequence[Any], column: Callable[[int], Any], labelled: bool) -> int | None:
    """Return the place of the column that holds the ids, where none is called `id`.

    It is the only one of texts that are all different. If there is none, it is the only one of
    integers that are all different.

    Args:
        names: of the columns.
        column: returns the column at a place.
        labelled: whether the rows have labels beside the columns, pandas' default index: then a
            column of integers must be without a name to be of ids.

    Returns:
        None if there is no such column, or more than one.
    """
    of: dict[type, list[int]] = {str: [], int: []}
    for at, name in enumerate(names):
        if holds_floats(column(at)):
            continue
        items = listed(column(at))
        for kind, found in of.items():
            fits = kind is str or is_nameless(name) or not labelled
            if fits and all(type(item) is kind for item in items) and len(set(items)) == len(items):
                found.append(at)
    found = of[str] or of[int]
    return found[0] if len(found) == 1 else None


def _among_numbers(values: Any) -> str | None:
    if not begin_whole(values[None])[0]:  # most columns end here
        return None
    present = values[~np.isnan(values)]
    if not len(present):
        return _NOTHING
    if len(present) < 3 or not _whole(present).all():
        return None
    different = np.unique(present)
    if len(different) == len(present):
        return ROW_NUMBERS
    if len(different) == 1:
        return _ONE_VALUE if different[0] > 1 else None
    years, months, days = different // 10_000, different // 100 % 100, different % 100
    dates = (years >= 1900) & (years < 2200) & (months >= 1) & (months <= 12)
    return _DATES if (dates & (days >= 1) & (days <= 31)).all() else None


def _whole(values: Any) -> Any:
    return (values >= 0) & (values <= _LARGEST) & (values == np.floor(values))


def _among_words(column: Any, ids: Sequence[str] | None) -> str | None:
    kind = str(column.type if hasattr(column, "type") else column.dtype)
    if kind.startswith(("date", "time", "duration")):
        return _DATES
    items = listed(column)
    if any(hasattr(item, "__len__") and not isinstance(item, str) for item in items):
        return None  # lists, arrays, bytes
    texts = {as_text(item).strip() for item in items if not is_null(item)}
    if len(texts) == len(items) > 2 and all(text.isascii() and text.isdigit() for text in texts):
        return ROW_NUMBERS
    for what, form in _WORDS.items():
        if texts and all(map(form.fullmatch, texts)):
            return what
    if len(texts) == 1 and not re.fullmatch(r"[-+]?\d*[.,]\d+", texts.pop()):
        return _ONE_VALUE
    return IDS if ids is not None and items == list(ids) else None
