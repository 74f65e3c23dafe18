"""Common ids, ids of the top and the bottom, and categories as columns: for pandas, as it is.

Source: the functions of numerai_tools.scoring 0.7.2 that have the same names. Where those fail by
`assert`, these raise a RoundError; and where ids are null or stand twice, or a value is missing.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.errors import RoundError
from mmc_gpu.inputs.names import check_labels
from mmc_gpu.metrics.population.book import DROPPED
from mmc_gpu.metrics.population.ends import end_size
from mmc_gpu.metrics.typed import Data, Other

if TYPE_CHECKING:
    import pandas as pd


def filter_sort_index_many(inputs: list[Any], max_filtered_ratio: float = DROPPED) -> list[Any]:
    """Return frames and Series over the ids that all of them have, without NaN; ids ascending.

    Args:
        inputs: pandas' frames and Series; a row of a frame counts if it has no NaN at all.
        max_filtered_ratio: share of an input's rows that may be left out.

    Raises:
        RoundError: there are no inputs, an input loses more, or an id is null or stands twice.
    """
    if not inputs:
        raise RoundError("data-type", "inputs: an empty list")
    ids: Any = None
    for number, data in enumerate(inputs):
        check_labels(data.index, f"inputs[{number}]")
        present = data.dropna().index
        ids = present if ids is None else ids.intersection(present)
    for number, data in enumerate(inputs):
        if not len(data) or len(ids) / len(data) < 1 - max_filtered_ratio:
            found = f"{len(ids):,} of {len(data):,} ids have values in all {len(inputs)} inputs"
            raise RoundError("id-other-round", f"inputs[{number}]: {found}")
    return [data.loc[ids].sort_index() for data in inputs]


def filter_sort_index(
    s1: Data, s2: Other, max_filtered_ratio: float = DROPPED
) -> tuple[Data, Other]:
    """Return two frames or Series over their common ids; see `filter_sort_index_many`."""
    first, second = filter_sort_index_many([s1, s2], max_filtered_ratio)
    return first, second


def filter_sort_top_bottom(
    s: "pd.Series[Any]", top_bottom: int
) -> "tuple[pd.Series[Any], pd.Series[Any]]":
    """Return a Series' so many highest values, and its lowest; ids ascending in both.

    Of equal values the first is the lower one. A Series with fewer values is returned whole, twice.

    Raises:
        RoundError: a value is NaN.
        ValueError: top_bottom is below 1.
    """
    if not end_size(top_bottom):
        raise ValueError(f"top_bottom={top_bottom}: give a whole number of at least 1")
    if missing := int(s.isna().sum()):
        raise RoundError("prediction-missing", f"s: {missing:,} of {len(s):,} values are NaN")
    order = np.argsort(s.to_numpy(), kind="stable")
    return s.iloc[order[-top_bottom:]].sort_index(), s.iloc[order[:top_bottom]].sort_index()


def filter_sort_top_bottom_concat(s: "pd.Series[Any]", top_bottom: int) -> "pd.Series[Any]":
    """Return the values of `filter_sort_top_bottom` as one Series, ids ascending."""
    import pandas as pd

    return pd.concat(filter_sort_top_bottom(s, top_bottom)).sort_index()


def validate_indices(live_targets: "pd.Series[Any]", predictions: "pd.Series[Any]") -> None:
    """Check that two Series have the same ascending ids, and no NaN.

    Raises:
        RoundError: they do not.
    """
    ids = live_targets.index
    if not ids.equals(ids.sort_values()):
        raise RoundError("id-order", "live_targets: ids do not ascend")
    if not np.array_equal(predictions.index, ids):
        raise RoundError("id-other-round", "predictions: their ids are not those of live_targets")
    for code, data in (("prediction-missing", predictions), ("target-missing", live_targets)):
        if missing := int(data.isna().sum()):
            raise RoundError(code, f"{missing:,} of {len(data):,} values are NaN")


def one_hot_encode(
    df: "pd.DataFrame", columns: list[str], dtype: type = np.float64
) -> "pd.DataFrame":
    """Return a frame with a column of 0 and 1 for each value of the columns, and without these.

    Args:
        df: the data.
        columns: names of the columns that are replaced, by columns `NAME_VALUE` at the end: values
            ascending, NaN last.
        dtype: of the new columns.

    Raises:
        RoundError: there is no such column, or a new column would be called as another one is.
    """
    import pandas as pd

    for name in columns:
        if name not in df:
            raise RoundError("column-unknown", f"df: no column {name!r}")
        series, absent = df[name], df[name].isna()
        values = np.unique(series[~absent].to_numpy())
        found = {f"{name}_{value!s}": series == value for value in values}
        found |= {f"{name}_nan": absent} if absent.any() else {}
        if taken := set(found) & {*df.columns}:
            raise RoundError("header-duplicate", f"df: a column {min(taken)!r} is there already")
        df = pd.concat([df, pd.DataFrame(found, df.index).astype(dtype)], axis=1).drop(columns=name)
    return df
