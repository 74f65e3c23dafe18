"""Some of the eras, or the rows of one data type, of any source."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import Columns, EraRows, EraSource, Label, Piece
from mmc_gpu.eras.places import EraNumbers, Layout
from mmc_gpu.errors import RoundError, as_text, counted, shown
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.names import listed

DATA_TYPE = "data_type"
"""The column that says what a row is for: train, validation, test, live."""


class ChosenEras:
    """Some eras of a source; see `EraSource`.

    Attributes:
        notes: what was left out of the data, and what was chosen.
    """

    def __init__(
        self,
        base: EraSource,
        columns: Columns,
        eras: str | Sequence[Any] | None = None,
        every: int = 1,
        data_type: Any = None,
    ) -> None:
        """Choose.

        Args:
            base: the source.
            columns: its columns.
            eras: "first:last", both included, of which one may be lacking; "last:200", the last
                ones of those that have a target; one era; or a list of eras. None for all.
            every: 4 for every fourth of these, from the first.
            data_type: rows with this value in the column `data_type`; None for all.

        Raises:
            RoundError: column-missing, era-unknown: there is no such column, era or data type.
            ValueError: an argument is none of these.
        """
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every: a whole number from 1 on, not {every!r}")
        self._base = base
        self.place, self.rows, self.names, self.floats = (
            base.place, base.rows, base.names, base.floats,
        )  # fmt: skip
        self.index, self.aside = base.index, base.aside
        labels, told = base.labels(columns.era), [*base.notes]
        self.notes: Sequence[str] = told
        self._kept: Any = None
        usual, resolved = np.full(len(labels), True), np.full(len(labels), True)
        if data_type is not None or (isinstance(eras, str) and eras.startswith("last:")):
            usual, resolved = self._read(columns, labels, data_type, told)
        self._numbers: list[int] = []
        chosen = _chosen(labels, eras, usual, resolved, base.place)[::every]
        self._numbers = chosen.tolist()
        self._labels = [labels[number] for number in self._numbers]
        if not self._labels:
            raise RoundError("era-unknown", f"{base.place}: no era is left to be scored")
        if eras is not None or every > 1:
            given = [] if eras is None else [f"eras {eras if isinstance(eras, str) else 'listed'}"]
            given += [f"every {every}"] if every > 1 else []
            ends = f"{as_text(self._labels[0])} to {as_text(self._labels[-1])}"
            count = f"{len(chosen):,} of {counted(len(labels), 'era')}"
            told.append(f"{base.place}: {', '.join(given)}: {count}, {ends}")

    def labels(self, era: Any) -> list[Label]:
        """Return the chosen eras in ascending order."""
        return self._labels

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of some of the chosen eras; those between them are read and passed over.

        So a file is read once from front to back: a row group may hold many eras.
        """
        wanted = self._numbers[chosen]
        if not wanted:
            return
        span = slice(wanted[0], wanted[-1] + 1)
        known = set(wanted)
        for number, rows in enumerate(self._base.eras(columns, span), span.start):
            if number in known:
                yield rows if self._kept is None else self._keep(rows, number)

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        """Yield all rows of the source, chosen or not."""
        return self._base.pieces(era, ids, names)

    def _keep(self, rows: EraRows, number: int) -> EraRows:
        kept = self._kept[self._layout.starts[number] : self._layout.starts[number + 1]]
        if kept.all():
            return rows
        ids = None if rows.ids is None else rows.ids[kept]
        return EraRows(rows.label, ids, rows.matrix[:, kept], rows.faults)

    def _read(
        self, columns: Columns, labels: list[Label], data_type: Any, told: list[str]
    ) -> tuple[Any, Any]:
        """Return which eras have rows of the data type, and which of these have a target."""
        place, targets = self._base.place, [*columns.targets]
        if data_type is not None and DATA_TYPE not in self._base.names:
            raise RoundError("column-missing", f"{place}: no column {DATA_TYPE!r}")
        types = [] if data_type is None else [DATA_TYPE]
        find, eras, kept, known, held = EraNumbers(labels), [], [], [], Counter[str]()
        for piece in self._base.pieces(columns.era, columns.ids, [*targets, *types]):
            eras.append(find.of(piece.eras, place))
            mask = np.full(len(eras[-1]), True)
            if types:
                values = np.array(listed(piece.values[-1]), object)
                held.update(Counter(map(as_text, values)))
                mask = values == data_type
            there = np.full(len(mask), not targets)
            for name, values in zip(targets, piece.values, strict=False):
                there |= ~np.isnan(numbers(values, f"{place}: column {shown([name])}"))
            kept.append(mask)
            known.append(mask & there)
        of, rows = np.concatenate(eras), np.concatenate(kept)
        self._layout = Layout.of(labels, of)
        if types:
            if not rows.any():
                raise RoundError("era-unknown", f"{place}: {_held(data_type, held)}")
            self._kept = self._layout.sorted(rows)
            others = ", ".join(f"{n:,} {name}" for name, n in held.items() if name != data_type)
            kept_rows = f"kept {np.count_nonzero(rows):,} of {counted(len(rows), 'row')}"
            told.append(f"{place}: data_type {data_type}: {kept_rows}; others: {others or 0}")
        count = len(labels)
        return _any(of, rows, count), _any(of, np.concatenate(known), count)


def _held(data_type: Any, held: Counter[str]) -> str:
    return f"no row has data_type {shown([as_text(data_type)])}; there are {shown(held, 9)}"


def _any(numbers: Integers, mask: Any, count: int) -> Any:
    return np.bincount(numbers[mask], minlength=count) > 0


def _chosen(
    labels: list[Label], eras: str | Sequence[Any] | None, there: Any, resolved: Any, place: str
) -> Integers:
    """Return the numbers of the eras that are asked for: there are rows of them."""
    find = EraNumbers(labels)

    def number(label: Any) -> int:
        found = find.find(label)
        if found < 0:
            ends = f"{shown(labels[:1])} to {shown(labels[-1:])}"
            raise RoundError("era-unknown", f"{place}: no era {shown([label])}; there are {ends}")
        return found

    if eras is None:
        return np.flatnonzero(there)
    if not isinstance(eras, str):
        if not all(isinstance(label, str | int | np.integer) for label in eras):
            raise ValueError("eras: give text or integers")
        some = np.unique([number(label) for label in eras]).astype(np.int64)
        return some[there[some]]
    first, colon, last = eras.partition(":")
    if first == "last" and colon:
        if not last.isdecimal() or not int(last):
            raise ValueError(f"eras: last:{last!s} is not last: and a number from 1 on")
        return np.flatnonzero(resolved)[-int(last) :]
    start = number(first) if first else 0
    stop = number(last) if last else len(labels) - 1 if colon else start
    if start > stop:
        raise ValueError(f"eras: {first} is behind {last}")
    return np.flatnonzero(there[start : stop + 1]) + start
