"""Some of the eras, or the rows of one data type, of any source."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import Columns, EraRows, EraSource, Label, era_label
from mmc_gpu.eras.places import EraNumbers
from mmc_gpu.errors import RoundError, as_given, as_text, counted, is_integer, shown
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.names import listed

DATA_TYPE = "data_type"  # the column that says what a row is for: train, validation, test, live


class ChosenEras:
    """Some eras of a source, with `labels` and `eras` as an `EraSource` has them."""

    def __init__(
        self,
        base: EraSource,
        columns: Columns,
        eras: str | Sequence[Any] | None = None,
        every: int = 1,
        data_type: str | None = None,
    ) -> None:
        """Choose among the eras and rows of a source, as the arguments of `evaluate` say.

        Raises:
            RoundError: column-missing, era-unknown: there is no such column, era or data type.
            ValueError: an argument is none of these.
        """
        self._base, self.place = base, base.place
        self._kept: Any = None
        self.notes: list[str] = []  # what was chosen
        labels = base.labels(columns.era)
        last = isinstance(eras, str) and eras.startswith("last:")
        there = resolved = np.full(len(labels), True)
        if data_type is not None or last:
            there, resolved = self._read(columns, labels, data_type)
        chosen = _last(str(eras), resolved) if last else _asked(labels, eras, there, base.place)
        self._numbers = chosen[::every].tolist()
        self._labels = [labels[number] for number in self._numbers]
        if not self._labels:
            raise RoundError("era-unknown", f"{base.place}: no era is left to be scored")
        if eras is not None or every > 1:
            asked = [f"eras {eras if isinstance(eras, str) else 'listed'}"] * (eras is not None)
            asked += [f"every {as_text(every)}"] * (every > 1)
            count = f"{len(self._labels):,} of {counted(len(labels), 'era')}"
            ends = f"{self._labels[0]} to {self._labels[-1]}"
            self.notes.append(f"{base.place}: {', '.join(asked)}: {count}, {ends}")

    def labels(self, era: Any) -> list[Label]:
        return self._labels

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of some of the chosen eras; those between them are read and passed over.

        So a file is read once from front to back: a row group may hold many eras.
        """
        wanted = self._numbers[chosen]
        span = slice(wanted[0], wanted[-1] + 1) if wanted else slice(0)
        for number, rows in enumerate(self._base.eras(columns, span), span.start or 0):
            if number not in wanted:
                continue
            if self._kept is not None:
                kept = self._kept[rows.places]
                ids = None if rows.ids is None else rows.ids[kept]
                rows = replace(rows, ids=ids, matrix=rows.matrix.compress(kept, axis=1))
            yield rows

    def _read(self, columns: Columns, labels: list[Label], data_type: Any) -> tuple[Any, Any]:
        """Return which eras have rows of the data type, and which of these have a target."""
        place, types = self._base.place, [] if data_type is None else [DATA_TYPE]
        if types and DATA_TYPE not in self._base.names:
            raise RoundError("era-unknown", f"{place}: no column {DATA_TYPE!r}")
        find, held = EraNumbers(labels), Counter[str]()
        eras, kept, known = [], [], []
        for piece in self._base.pieces(columns.era, columns.ids, [*columns.targets, *types]):
            eras.append(find.of(piece.eras, place))
            mask = np.full(len(eras[-1]), True)
            if types:
                values = listed(piece.values[-1], place)
                held.update(map(as_text, values))
                mask = np.array([value == data_type for value in values])
            targets = [numbers(values, place) for values in piece.values[: len(columns.targets)]]
            kept.append(mask)
            known.append(mask & ~np.isnan(targets).all(axis=0) if targets else mask)
        of, rows = np.concatenate(eras), np.concatenate(kept)
        if types:
            counts = [f"{n:,} {name}" for name, n in held.items() if name != data_type]
            others = ", ".join(counts[:9]) + f" and {len(counts) - 9:,} more" * (len(counts) > 9)
            if not rows.any():
                detail = f"{place}: no row has data_type {data_type!a}; there are {others}"
                raise RoundError("era-unknown", detail)
            self._kept = rows
            count = f"kept {np.count_nonzero(rows):,} of {counted(len(rows), 'row')}"
            self.notes.append(f"{place}: data_type {data_type}: {count}; others: {others or 0}")
        masks = rows, np.concatenate(known)
        there, resolved = (np.bincount(of[mask], minlength=len(labels)) > 0 for mask in masks)
        return there, resolved


def _last(eras: str, resolved: Any) -> Integers:
    count = eras.removeprefix("last:")
    if not count.isdecimal() or not int(count):
        raise ValueError(f"eras: {eras} is not last: and a number from 1 on")
    return np.flatnonzero(resolved)[-int(count) :]


def _asked(labels: list[Label], eras: Any, there: Any, place: str) -> Integers:
    """Return the numbers of the eras that are asked for, of those that there are rows of."""
    find = EraNumbers(labels)

    def number(label: Any) -> int:
        if not (isinstance(label, str | date) or is_integer(label)):
            raise ValueError(f"eras: give text, integers or dates, not {as_given(label)}")
        if (found := find.find(era_label(label, place))) < 0:
            ends = f"{shown(labels[:1])} to {shown(labels[-1:])}"
            raise RoundError("era-unknown", f"{place}: no era {shown([label])}; there are {ends}")
        return found

    wanted = np.full(len(labels), eras is None)
    if isinstance(eras, str):
        first, colon, last = eras.partition(":")
        start = number(first) if first or not colon else 0
        stop = number(last) if last else len(labels) - 1 if colon else start
        if start > stop:
            raise ValueError(f"eras: {first} is behind {last}")
        wanted[start : stop + 1] = True
    elif eras is not None:
        several = listed(eras, "eras") if isinstance(eras, Iterable) else [eras]
        wanted[[number(label) for label in several]] = True
    return np.flatnonzero(wanted & there)
