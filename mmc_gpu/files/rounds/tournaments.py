"""Signals and Crypto: files with names of their own, and submissions that lack stocks.

Source: numerai_tools.submissions 0.7.2, whose checks and `clean_submission` are followed.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmc_gpu.engines.arrays import Floats, Numbers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.checks import ranked_and_filled
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.names import as_ids, check_ids, first_ids
from mmc_gpu.inputs.options import check_option

Tournament = Literal["signals", "crypto"]

IDS = {
    "signals": ("numerai_ticker", "bloomberg_ticker", "composite_figi", "ticker", "sedol"),
    "crypto": ("symbol",),
}
_PREDICTIONS = ("prediction", "signal")
DATES = ("friday_date", "date")
_ASIDE = (*DATES, "data_type", "era", "country_code")
"""Columns that are no target and no prediction."""

TEXT = ("id", *IDS["signals"], *IDS["crypto"], *_ASIDE)
"""Columns that a CSV file has as text: a symbol may be NAN, NULL, TRUE or 1E5."""

FEWEST = 100  # stocks of the universe that a submission must have


@dataclass(frozen=True)
class Universe:
    """The stocks of a Signals or Crypto round."""

    tournament: Tournament  # which of the two
    said: str  # how that is known
    # (N,) the stocks by the name of the column, "" for none; scores are by the first
    ids: dict[str, list[str]]

    @classmethod
    def of(cls, table: Any, asked: Tournament | None, place: str) -> "Universe | None":
        """Return the universe in a table of targets or ids; None for Numerai's own tournament.

        Raises:
            RoundError: an asked tournament's ids are not there; rows are of several dates.
        """
        names = {_folded(name): name for name in table.column_names}
        found = [name for name, ids in IDS.items() if not names.keys().isdisjoint(ids)]
        if asked is None and ("id" in names or not found):
            return None
        tournament: Any = found[0] if asked is None else asked
        check_option("tournament", tournament, Tournament)
        columns = [name for name in names if name in (*IDS[tournament], "id")]
        if not columns:
            raise RoundError("column-missing", f"{place}: no column of {shown(IDS[tournament])}")
        for name in names.keys() & DATES:
            if len(dates := table.column(names[name]).unique()) > 1:
                raise RoundError("id-other-round", f"{place}: {len(dates):,} dates in {name}")
        first, *others = [table.column(names[name]).to_pylist() for name in columns]
        ids = [as_ids(first, place), *([str(id_ or "") for id_ in other] for other in others)]
        check_ids(ids[0], place)
        said = "as asked" if asked else f"found from the column {columns[0]}"
        return cls(tournament, said, dict(zip(columns, ids, strict=True)))

    def note(self) -> str:
        """Return what is done with submissions, in a sentence."""
        how = "what a submission has is ranked, and the rest is 0.5"
        return f"tournament {self.tournament}, {self.said}: {how}"

    def cleaned_file(self, table: Any, stocks: list[str], place: str) -> Floats:
        """Return the predictions in a file of one user: (N,), in the order of the stocks."""
        names = {_folded(name): name for name in table.column_names}
        sought = [name for name in names if name in self.ids]
        given = [name for name in names if name in _PREDICTIONS]
        if len(sought) != 1 or len(given) != 1:
            wanted = f"one of {shown(list(self.ids))} and one of {shown(_PREDICTIONS)}"
            raise RoundError("column-missing", f"{place}: needs {wanted}, has {shown(names)}")
        ids = as_ids(table.column(names[sought[0]]), place)
        values = numbers(table.column(names[given[0]]), place)
        pairs = zip(next(iter(self.ids.values())), self.ids[sought[0]], strict=True)
        at = {stock: place for place, stock in enumerate(stocks)}
        at = {theirs: at[ours] for ours, theirs in pairs if theirs and ours in at}
        known = [(row, at[id_]) for row, id_ in enumerate(ids) if id_ in at]
        check_ids([ids[row] for row, _ in known], place)
        rows, places = np.array(known, np.int64).reshape(-1, 2).T
        if (missing := np.isnan(values[rows])).any():
            raise RoundError("prediction-missing", f"{place}: missing {first_ids(missing, None)}")
        predictions = np.full(len(stocks), np.nan)
        predictions[places] = values[rows]
        return cleaned(predictions, place)


def with_id(table: Any, place: str) -> Any:
    """Return a table whose first column of ids is called id, without what is no series."""
    own, others = id_and_series(table.column_names, place)
    return table.select([own, *others]).rename_columns(["id", *others])


def id_and_series(names: list[str], place: str) -> tuple[str, list[str]]:
    """Return the first column of ids, and the columns of numbers."""
    own = [name for name in names if _folded(name) in TEXT[: -len(_ASIDE)]]
    if not own:
        raise RoundError("column-missing", f"{place}: needs a column 'id', has {shown(names, 5)}")
    return own[0], [name for name in names if _folded(name) not in TEXT]


def _folded(name: str) -> str:
    return name.strip().lower()


def cleaned(predictions: Numbers, place: str) -> Floats:
    """Return (N,) predictions, NaN where there is none, as Numerai scores them.

    See `ranked_and_filled`.

    Raises:
        RoundError: they are too few, outside of [0, 1], or do not vary.
    """
    there = ~np.isnan(predictions)
    values, count = predictions[there].astype(np.float64), int(there.sum())
    if count < FEWEST:
        detail = f"{count:,} of the universe's {len(predictions):,} stocks, at least {FEWEST}"
        raise RoundError("id-other-round", f"{place}: {detail}")
    low, high = values.min(), values.max()
    if not ((low >= 0 or np.isclose(low, 0)) and (high <= 1 or np.isclose(high, 1))):
        raise RoundError("prediction-range", f"{place}: from {low} to {high}, not from 0 to 1")
    if np.isclose(0.0, values.std(ddof=1)):
        raise RoundError("prediction-constant", f"{place}: they vary by {values.std(ddof=1)}")
    return ranked_and_filled(predictions)
