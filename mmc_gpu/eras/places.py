"""Where the rows of other files belong in the first one: found by id, and by era where it helps."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import EraSource, Label, era_label
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.columns import is_text
from mmc_gpu.inputs.names import as_user, is_null

_NUMBER = re.compile(r"(?:era)?0*(\d+)", re.IGNORECASE)
"""Eras that are one number: `0857`, `era857` and 857 are the same era in two files."""

NO_ID, UNKNOWN, OTHER_ERA, SEVERAL = -1, -2, -3, -4
"""Why a row has no place: its id is null, or in no row of the first file, or there only in another
era, or in several rows and the file has no eras."""


class Layout(NamedTuple):
    """How rows stand once they are sorted by era; rows of one era keep their order.

    Attributes:
        labels: the eras, ascending.
        starts: (eras + 1,) the first place of each era, and the number of rows.
        order: (rows,) the row at each place; None where rows are sorted as they stand.
    """

    labels: list[Label]
    starts: Integers
    order: Integers | None

    @classmethod
    def of(cls, labels: list[Label], numbers: Integers) -> "Layout":
        """Return the layout of rows with the numbers of their eras: (rows,)."""
        starts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(labels)))])
        ascending = bool((numbers[1:] >= numbers[:-1]).all())
        return cls(labels, starts, None if ascending else np.argsort(numbers, kind="stable"))

    def sorted(self, values: Any) -> Any:
        """Return values of rows, (rows,), in the order of the places."""
        return values if self.order is None else values[self.order]


class EraNumbers:
    """The number of each era among the labels, however another file spells it."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._numbers: dict[Label, int] = {label: at for at, label in enumerate(labels)}
        spelled = [_spelled(label) for label in labels]
        self._spelled = {text: at for at, text in enumerate(spelled) if spelled.count(text) == 1}

    def find(self, label: Label) -> int:
        """Return the number of an era; -1 where there is no such era."""
        found = self._numbers.get(label)
        return self._spelled.get(_spelled(label), -1) if found is None else found

    def of(self, column: Any, place: str) -> Integers:
        """Return the number of every row's era: (R,), -1 where it is unknown or missing.

        Raises:
            RoundError: era-type.
        """
        codes, values = factorized(column)
        labels = [None if is_null(value) else era_label(value, place) for value in values]
        numbers = [-1 if label is None else self.find(label) for label in labels]
        return np.array([*numbers, -1], np.int64)[codes]


class BaseRows:
    """The rows of the first file, which other files are joined to.

    Attributes:
        place: what errors call the file.
        layout: how its rows stand.
        eras: finds the number of an era.
    """

    def __init__(self, base: EraSource, era: Any, ids: Any) -> None:
        """Read the eras and ids of all rows, in one pass.

        Raises:
            RoundError: a row has no era; there are no ids, or ids of no type that can be joined.
        """
        import pyarrow as pa

        labels = base.labels(era)
        self.place, self.eras = base.place, EraNumbers(labels)
        numbers, texts = [], []
        for piece in base.pieces(era, ids, []):
            if piece.ids is None:
                raise RoundError("column-missing", f"{base.place}: no ids, by which files join")
            numbers.append(self.eras.of(piece.eras, base.place))
            texts.append(id_texts(piece.ids, base.place))
        self.layout = Layout.of(labels, np.concatenate(numbers))
        encoded = pa.chunked_array(texts).dictionary_encode().combine_chunks()
        del texts
        self._ids = encoded.dictionary
        if not len(self._ids):
            raise RoundError("id-null", f"{base.place}: no row has an id")
        codes = _codes(encoded.indices)
        keys = codes * len(labels) + np.concatenate(numbers)
        if self.layout.order is not None:
            keys, codes = keys[self.layout.order], codes[self.layout.order]
        order = np.argsort(keys, kind="stable")
        order = order[np.count_nonzero(codes < 0) :]  # rows without an id come first
        self._keys, self._places = keys[order], order.astype(np.int32)
        self._era_of = np.repeat(
            np.arange(len(labels), dtype=np.int32), np.diff(self.layout.starts)
        )

    @property
    def rows(self) -> int:
        """Return how many rows the file has."""
        return int(self.layout.starts[-1])

    def find(self, ids: Any, eras: Any) -> Integers:
        """Return the place of every row of another file: (R,); below 0 why it has none.

        Args:
            ids: a chunked array of text; see `id_texts`.
            eras: (R,) numbers of eras; None where the file has none.
        """
        import pyarrow.compute as pc

        codes = _codes(pc.index_in(ids, value_set=self._ids, skip_nulls=True))
        found = np.where(codes < 0, np.where(_is_null(ids), NO_ID, UNKNOWN), OTHER_ERA)
        count = len(self.layout.labels)
        if len(self._ids) == len(self._keys):  # every id has one row: a tenth of the time
            at = self._places[codes]
            hit = (codes >= 0) if eras is None else (codes >= 0) & (self._era_of[at] == eras)
            found[hit] = at[hit]
            return found
        keys = codes * count + (0 if eras is None else eras)
        at = np.searchsorted(self._keys, keys)
        inside = at < len(self._keys)
        at[~inside] = 0
        if eras is None:
            hit = inside & (codes >= 0)
            following = np.append(self._keys[1:], -1)[at]
            several = hit & (following // count == codes)
            found[several] = SEVERAL
            hit &= ~several
        else:
            hit = inside & (self._keys[at] == keys) & (codes >= 0) & (eras >= 0)
        found[hit] = self._places[at[hit]]
        return found

    def first_ids(self) -> str:
        """Return some ids for a message."""
        return shown(self._ids.slice(0, 2).to_pylist(), 2)


def id_texts(ids: Any, place: str) -> Any:
    """Return ids as an Arrow array of text, null where there is none; integers as decimal text.

    Raises:
        RoundError: id-type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if getattr(ids, "nlevels", 1) > 1:
        raise RoundError("id-type", f"{place}: the index has {ids.nlevels} levels")
    if not hasattr(ids, "to_pylist"):
        try:
            ids = pa.array(ids, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # text and integers, or objects
            ids = pa.array([_as_text(id_, place) for id_ in ids], pa.large_string())
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if pa.types.is_dictionary(ids.type):
        ids = ids.dictionary_decode()
    kind = ids.type
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise RoundError("id-type", f"{place}: ids of type {kind}")
    texts = ids.cast(pa.string() if pa.types.is_integer(kind) else kind).cast(pa.large_string())
    empty = pc.equal(texts, "")
    return pc.if_else(empty, None, texts) if pc.any(empty).as_py() else texts


def _as_text(value: Any, place: str) -> str | None:
    text = as_user(value)
    if not isinstance(text, str) and not is_null(value):
        raise RoundError("id-type", f"{place}: an id is a {type(value).__name__}")
    return text if isinstance(text, str) else None


def told(
    found: Integers, placed: Integers, place: str, base: BaseRows, first: Sequence[str]
) -> str:
    """Return in words what became of the rows of a file; "" if each has a row of its own.

    Args:
        found: (R,) their places, as `BaseRows.find` returns them.
        placed: (rows,) how many of them each row of the first file has.
        place: what to call the file.
        base: the rows of the first file.
        first: some ids that stand in more than one row.
    """
    reasons = {
        UNKNOWN: f"with ids that are not in {base.place}",
        OTHER_ERA: f"with ids of other eras of {base.place}",
        NO_ID: "without an id",
        SEVERAL: "without an era and with ids of several rows",
    }
    lost = {why: int(np.count_nonzero(found == why)) for why in reasons}
    said = [f"{count:,} {reasons[why]}" for why, count in lost.items() if count]
    said = [f"left out {counted(sum(lost.values()), 'row')}: {', '.join(said)}"] if said else []
    if twice := int(np.count_nonzero(placed > 1)):
        ids = counted(twice, "id stands", "ids stand")
        missing = "counts" if twice == 1 else "count"
        said.append(f"{ids} in more than one row and so {missing} as missing: {shown(first)}")
    if gaps := int(np.count_nonzero(placed == 0)):
        before = np.concatenate([[0], np.cumsum(placed == 0)])[base.layout.starts]
        eras = int(np.count_nonzero(np.diff(before)))
        rows = f"{counted(gaps, 'row')} of {base.place}, in {counted(eras, 'era')}"
        said.append(f"nothing for {rows}")
    return f"{place}: {'; '.join(said)}" if said else ""


def factorized(column: Any) -> tuple[Integers, list[Any]]:
    """Return the number of each row's value, -1 where it is missing, and the values."""
    import pandas as pd
    import pyarrow as pa

    if not hasattr(column, "to_pylist"):
        codes, values = pd.factorize(column)
        return codes, list(values)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_string_view(column.type):  # which Arrow does not encode
        column = column.cast(pa.large_string())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return _codes(column.indices), column.dictionary.to_pylist()


def _codes(indices: Any) -> Any:
    """Return Arrow's numbers as int64, -1 where null."""
    import pyarrow.compute as pc

    if hasattr(indices, "combine_chunks"):
        indices = indices.combine_chunks()
    return pc.fill_null(indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _is_null(ids: Any) -> Any:
    import pyarrow.compute as pc

    return pc.is_null(ids).to_numpy(zero_copy_only=False)


def _spelled(label: Label) -> str:
    number = _NUMBER.fullmatch(str(label))
    return number[1] if number else str(label)
