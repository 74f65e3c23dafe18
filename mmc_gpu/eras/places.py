"""Where the rows of other files belong in the first one: found by id, and by era where it helps."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import EraSource, Label, numbered
from mmc_gpu.errors import RoundError, counted, shown, type_of
from mmc_gpu.inputs.columns import as_fault, is_text
from mmc_gpu.inputs.names import as_user, is_null

_NUMBER = re.compile(r"(?:era)?0*(\d+)", re.IGNORECASE)
"""Eras that are one number: `0857`, `era857` and 857 are the same era in two files."""

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)([T ]00:00:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?")
"""Eras that are one day: 2026-02-06, in any time zone, and 20260206 are the same era."""

NO_ID, UNKNOWN, OTHER_ERA, SEVERAL = -1, -2, -3, -4
"""Why a row has no place: its id is null, or in no row of the first file, or there only in another
era, or in several rows and the file has no eras."""


class EraNumbers:
    """The number of each era among the labels, however another file spells it."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._numbers: dict[Label, int] = {label: at for at, label in enumerate(labels)}
        spelled = [_spelled(label) for label in labels]
        times = Counter(spelled)
        self._spelled = {text: at for at, text in enumerate(spelled) if times[text] == 1}

    def find(self, label: Label) -> int:
        """Return the number of an era; -1 where there is no such era."""
        found = self._numbers.get(label)
        return self._spelled.get(_spelled(label), -1) if found is None else found

    def of(self, column: Any, place: str) -> Integers:
        """Return the number of every row's era: (R,), -1 where it is unknown or missing."""
        codes, labels = numbered(column, place)
        return np.array([*map(self.find, labels), -1], np.int64)[codes]


def one_spelling(labels: list[Label], place: str) -> list[Label]:
    """Return the eras of a file as they are; era-spelling where two are one number: see above."""
    times = Counter(map(_spelled, labels))
    if twice := [label for label in labels if times[_spelled(label)] > 1]:
        raise RoundError("era-spelling", f"{place}: {shown(twice[:2])} are one era")
    return labels


class BaseRows:
    """The rows of the first file, which other files are joined to."""

    def __init__(self, base: EraSource, era: Any, ids: Any) -> None:
        """Read the eras and ids of all rows, in one pass.

        Raises:
            RoundError: a row has no era; there are no ids, or ids of no type that can be joined.
        """
        import pyarrow as pa

        self.place, self.labels, self.rows = base.place, base.labels(era), base.rows
        self._find_era = EraNumbers(self.labels)
        eras, texts = [], []
        for piece in base.pieces(era, ids, []):
            eras.append(self._find_era.of(piece.eras, base.place))
            texts.append(id_texts(piece.ids, base.place))
        self._era_of = np.concatenate(eras)
        encoded = pa.chunked_array(texts).dictionary_encode().combine_chunks()
        del texts
        self._ids, codes = encoded.dictionary, _codes(encoded.indices)
        if not len(self._ids):
            raise RoundError("id-null", f"{base.place}: no row has an id")
        keys = codes * len(self.labels) + self._era_of
        order = np.argsort(keys, kind="stable")
        order = order[np.count_nonzero(codes < 0) :]  # rows without an id come first
        self._keys, self._places = keys[order], order.astype(np.int32)

    def find(self, source: EraSource, era: Any, ids: Any) -> "Found":
        """Return the place of every row of another file, which is read in one pass.

        Raises:
            RoundError: join-ids where fewer than half of the rows of either file have a partner;
                there are no ids, or ids or eras of no type that can be joined.
        """
        import pyarrow as pa

        texts, eras = [], []
        for piece in source.pieces(era, ids, []):
            texts.append(id_texts(piece.ids, source.place))
            if era is not None:
                eras.append(self._find_era.of(piece.eras, source.place))
        known = pa.chunked_array(texts)
        places = self._places_of(known, np.concatenate(eras) if eras else None)
        placed = np.bincount(places[places >= 0], minlength=self.rows)
        twice = np.flatnonzero(np.isin(places, np.flatnonzero(placed > 1)[:3]))
        found = Found(places, placed, list(dict.fromkeys(known.take(twice).to_pylist())))
        shared = np.count_nonzero(places >= 0)
        if 2 * shared < min(len(places), self.rows):
            sizes = f"{shared:,} of {len(places):,} and {self.rows:,} rows in common"
            why = f"{shown(known[:2].to_pylist())} beside {shown(self._ids[:2].to_pylist())}"
            if 2 * np.count_nonzero(places == OTHER_ERA) >= len(places):
                why = f"in other eras than {shown(self.labels)}"
            detail = f"{source.place} and {self.place} have {sizes}: ids {why}"
            raise RoundError("join-ids", detail)
        return found

    def _places_of(self, ids: Any, eras: Integers | None) -> Integers:
        import pyarrow.compute as pc

        codes = _codes(pc.index_in(ids, value_set=self._ids, skip_nulls=True))
        absent = np.where(np.asarray(pc.is_null(ids)), NO_ID, UNKNOWN)
        found = np.where(codes < 0, absent, OTHER_ERA)
        count = len(self.labels)
        if len(self._ids) == len(self._keys):  # every id has one row: a tenth of the time
            at = self._places[codes]
            hit = (codes >= 0) if eras is None else (codes >= 0) & (self._era_of[at] == eras)
            found[hit] = at[hit]
            return found
        keys = codes * count + (0 if eras is None else eras)
        at = np.searchsorted(self._keys[:-1], keys)  # the last one's place if no other is as large
        if eras is None:
            following = np.append(self._keys[1:], -1)[at]
            several = (codes >= 0) & (following // count == codes)
            found[several] = SEVERAL
            hit = (codes >= 0) & ~several
        else:
            hit = (self._keys[at] == keys) & (codes >= 0) & (eras >= 0)
        found[hit] = self._places[at[hit]]
        return found

    def told(self, found: "Found", place: str) -> list[str]:
        """Return what became of the rows of a file; nothing if each has a row of its own."""
        reasons = {
            UNKNOWN: f"with ids that are not in {self.place}",
            OTHER_ERA: f"with ids of other eras of {self.place}",
            NO_ID: "without an id",
            SEVERAL: "without an era and with ids of several rows",
        }
        lost = {why: int(np.count_nonzero(found.places == why)) for why in reasons}
        said = [f"{count:,} {reasons[why]}" for why, count in lost.items() if count]
        said = [f"left out {counted(sum(lost.values()), 'row')}: {', '.join(said)}"] * bool(said)
        if twice := int(np.count_nonzero(found.placed > 1)):
            ids = counted(twice, "id stands", "ids stand")
            said.append(f"{ids} in more than one row, taken as missing: {shown(found.twice)}")
        if gaps := np.flatnonzero(found.placed == 0).size:
            eras = counted(len(np.unique(self._era_of[found.placed == 0])), "era")
            said.append(f"nothing for {counted(gaps, 'row')} of {self.place}, in {eras}")
        return [f"{place}: {'; '.join(said)}"] * bool(said)


class Found(NamedTuple):
    """Where the rows of a file belong."""

    places: Integers  # (R,) the place of each row, or why it has none
    placed: Integers  # (rows,) how many rows of the file each row of the first one has
    twice: list[str]  # some ids that stand in more than one row


def id_texts(ids: Any, place: str) -> Any:
    """Return ids as an Arrow array of text, null where there is none; integers as decimal text.

    Raises:
        RoundError: there are none, ids of another type, or text that is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if ids is None:
        raise RoundError("column-missing", f"{place}: no ids to join by (ids=, --id)")
    if getattr(ids, "nlevels", 1) > 1:
        raise RoundError("id-type", f"{place}: the index has {ids.nlevels} levels")
    if not hasattr(ids, "to_pylist"):
        try:
            ids = pa.array(ids, from_pandas=True)
        except (ValueError, TypeError, NotImplementedError, OverflowError):  # no type of Arrow's
            ids = pa.array([_as_bytes(id_, place) for id_ in ids], pa.large_binary())
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    with as_fault("id-type", place):  # of text that is no UTF-8
        if pa.types.is_dictionary(ids.type):
            values = ids.dictionary  # polars' are views, which Arrow neither decodes nor takes from
            values = values.cast(pa.large_string()) if is_text(values.type) else values
            ids = values.take(ids.indices)
        kind = ids.type
        if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise RoundError("id-type", f"{place}: ids of type {kind}")
        texts = ids.cast(pa.string() if pa.types.is_integer(kind) else kind).cast(pa.large_string())
        texts.validate(full=True)
    empty = pc.equal(texts, "")
    return pc.if_else(empty, None, texts) if pc.any(empty).as_py() else texts


def _as_bytes(value: Any, place: str) -> bytes | None:
    text = as_user(value)
    if not isinstance(text, str) and not is_null(value):
        raise RoundError("id-type", f"{place}: an id is {type_of(value)}")
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None


def _codes(indices: Any) -> Any:
    """Return Arrow's numbers as int64, -1 where null."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(indices, -1)).astype(np.int64)


def _spelled(label: Label) -> str:
    day, number = _DATE.fullmatch(str(label)), _NUMBER.fullmatch(str(label))
    return "".join(day.group(1, 2, 3)) if day else number[1] if number else str(label)
