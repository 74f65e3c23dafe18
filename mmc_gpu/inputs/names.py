"""Ids of stocks and names of users: text, checked, in canonical order (by code point)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.errors import RoundError, as_text, counted, is_integer, shown, type_of

LONGEST_NAME = 128

_COPY = re.compile(r"(.+?)(?: ?\(\d+\)| copy(?: \d+)?| - Copy(?: \(\d+\))?)")
"""Names that browsers and desktops give to a second file of a name."""
_TOO_LONG = 10**4300  # the first integer that Python does not write
LARGEST_MISSING_SHARE = 0.2
"""If more is missing, a submission belongs to another round: the limit of numerai-tools too."""


def as_ids(values: Any, place: str) -> list[str]:
    """Return ids of any sequence or column as text; integers become decimal text.

    Raises:
        RoundError: an id is null, empty, or neither text nor an integer.
    """
    if kind := untaken_type(values):
        raise RoundError("id-type", f"{place}: ids of type {kind}")
    ids = []
    for row, value in enumerate(listed(values, place)):
        name = value if isinstance(value, str) else as_user(value)
        if isinstance(name, str):
            ids.append(name)
        elif is_null(value):
            raise RoundError("id-null", f"{place}: the id in row {row + 1:,} is null")
        else:
            raise RoundError("id-type", f"{place}: the id in row {row + 1:,} is {type_of(value)}")
    if "" in ids:
        raise RoundError("id-null", f"{place}: the id in row {ids.index('') + 1:,} is empty")
    return ids


def check_ids(ids: Sequence[str], place: str) -> None:
    """Raise RoundError where an id stands twice or has invisible characters."""
    if len(set(ids)) < len(ids):
        raise _repeated([id_ for id_, times in Counter(ids).items() if times > 1], place)
    if hidden := [id_ for id_ in ids if not id_.isprintable() or id_ != id_.strip()]:
        odd = f"{counted(len(hidden), 'id')} with white space at an end or invisible characters"
        raise RoundError("id-characters", f"{place}: {odd}: {shown(hidden)}")


def check_names(names: Sequence[Any], place: str) -> None:
    """Raise RoundError where two columns have one name as text, or a name cannot be written."""
    texts = [as_text(name) for name in names]
    if twice := [text for text, times in Counter(texts).items() if times > 1]:
        raise RoundError("header-duplicate", f"{place}: more than one column {shown(twice)}")
    if odd := [text for text in texts if re.search("[\ud800-\udfff]", text)]:
        raise RoundError("column-name", f"{place}: column {shown(odd)}")


def is_ascending(labels: Any) -> bool:
    """Return whether the ids of a pandas Index are text of Arrow's, each id above the one before.

    Then none is null, and none stands twice. Arrow compares them where they lie: pandas makes an
    object of each first, which takes ten times as long.
    """
    if getattr(labels.dtype, "storage", None) != "pyarrow":
        return False
    import pyarrow.compute as pc

    text = labels.array.__arrow_array__()
    return not text.null_count and pc.all(pc.less(text[:-1], text[1:]), min_count=0).as_py()


def check_labels(labels: Any, place: str) -> None:
    """Raise RoundError where an id of a pandas Index is null or stands twice."""
    levels = labels.codes if hasattr(labels, "levels") else [np.where(labels.isna(), -1, 0)]
    if nulls := int(np.count_nonzero(np.min(levels, axis=0) < 0)):
        raise RoundError("id-null", f"{place}: {counted(nulls, 'id is', 'ids are')} null")
    if labels.dtype == object and not all(isinstance(label, Hashable) for label in labels):
        raise RoundError("id-type", f"{place}: ids are lists or dicts")
    if not labels.is_unique:
        raise _repeated(labels[labels.duplicated()].unique(), place)


def _repeated(ids: Sequence[Any], place: str) -> RoundError:
    detail = f"{place}: {counted(len(ids), 'id')} in more than one row: {shown(ids)}"
    return RoundError("id-duplicate", detail)


class Alignment(NamedTuple):
    """Where the round's stocks stand in a file or frame."""

    columns: Integers  # (N,) place of each stock among the ids, -1 where it is absent
    absent: int  # how many stocks are absent
    extra: int  # how many ids belong to no stock of the round


def align(ids: Sequence[str], stocks: Sequence[str], place: str) -> Alignment:
    """Return where the round's stocks stand among the ids of a file or frame.

    Raises:
        RoundError: an id stands twice; more than a fifth of the stocks are absent; or an absent
            stock's id is there in another case, or with other white space or invisible characters.
    """
    if ids == stocks:
        return Alignment(np.arange(len(stocks)), 0, 0)
    check = dict(zip(ids, range(len(ids)), strict=True))
    columns = np.array([check.pop(stock, -1) for stock in stocks], np.int64)
    absent = [stocks[place] for place in np.flatnonzero(columns < 0).tolist()]
    extra = len(ids) - (len(stocks) - len(absent))
    if len(check) < extra:  # some id stands twice: a dict holds it once
        known = set(stocks)
        check_ids([id_ for id_ in ids if id_ in known], place)
    if absent:
        _explain_absent(absent, check, len(stocks), place)
    return Alignment(columns, len(absent), extra)


def _explain_absent(absent: list[str], extra: Iterable[str], stocks: int, place: str) -> None:
    near = {folded(id_): id_ for id_ in extra}
    alike = [(near[key], id_) for id_ in absent if (key := folded(id_)) in near]
    if alike:
        differ = "different only by case, white space or invisible characters from the round's"
        pairs = ", ".join(f"{a!a} for {b!a}" for a, b in alike[:3])
        raise RoundError("id-mismatch", f"{place}: {counted(len(alike), 'id')} {differ}: {pairs}")
    if len(absent) > LARGEST_MISSING_SHARE * stocks:
        detail = f"{place}: {len(absent):,} of {stocks:,} ids missing: {shown(absent)}"
        raise RoundError("id-other-round", detail)


def user_fault(name: Any) -> RoundError | None:
    """Return what is wrong with a user name, or None."""
    if not isinstance(name, str):
        return RoundError("user-name", f"user {shown([as_text(name)])}: {type_of(name)}")
    if not name:
        return RoundError("user-name", "a user name is empty")
    if len(name) > LONGEST_NAME:
        return RoundError("user-name", f"user {shown([name[:40]])}...: {len(name):,} characters")
    if not name.isprintable() or name != name.strip():
        return RoundError("user-name", f"user {shown([name])}: not printable")
    if not unicodedata.is_normalized("NFC", name):
        return RoundError("user-name", f"user {shown([name])}: not in normal form C")
    return None


def name_faults(users: Sequence[Any], files: Sequence[str] = ()) -> dict[int, RoundError]:
    """Return what is wrong with users' names, by place. A name that stands twice is wrong twice.

    A file such as `ann (1)`, beside one of `ann`, is what browsers and desktops make of a second
    one: it is no user's.

    Messages name `files`, where each user has one.
    """
    faults = {row: fault for row, user in enumerate(users) if (fault := user_fault(user))}
    first: dict[Any, int] = {}
    twice: dict[Any, list[int]] = {}
    for row, user in enumerate(users):
        if isinstance(user, str) and first.setdefault(user, row) != row:
            twice.setdefault(user, [first[user]]).append(row)
    for user, rows in twice.items():
        where = f": {shown([files[row] for row in rows])}" if files else ""
        detail = f"user {shown([user])}: {len(rows)} submissions{where}"
        faults |= dict.fromkeys(rows, RoundError("user-duplicate", detail))
    for row, user in enumerate(users if files else ()):
        copy = _COPY.fullmatch(user)
        if copy and copy[1] in first and row not in faults:
            original = files[first[copy[1]]]
            detail = f"{files[row]!a} seems to be a second file of user {shown([copy[1]])},"
            faults[row] = RoundError("user-duplicate", f"{detail} beside {original!a}")
    return faults


def escaped(user: Any) -> str:
    """Return a name as it is, or, if it is faulty, as text that is safe to show and to write."""
    return user if user_fault(user) is None else ascii(as_text(user))[1:-1][:LONGEST_NAME]


def as_user(value: Any) -> Any:
    """Return a column's name as a user name: integers as decimal text, the rest as it is."""
    return str(int(value)) if is_integer(value) and abs(int(value)) < _TOO_LONG else value


def untaken_type(column: Any) -> str:
    """Return the Arrow type of a column if no value of that type is a name or a stake, else "".

    Such columns of files are not decoded: all their values seem to be null.
    """
    kind = str(column.type) if hasattr(column, "to_pylist") else ""
    taken = ("string", "large_string", "binary", "large_binary", "fixed_size_binary", "dictionary")
    numbers = ("int", "uint", "float", "double", "halffloat", "bool", "decimal", "null")
    return "" if kind.startswith(taken + numbers) else kind


def folded(id_: str) -> str:
    """Return a name without case, white space and invisible characters, to find those alike."""
    text = unicodedata.normalize("NFKC", id_).casefold()
    return "".join(character for character in text if character.isprintable() and character != " ")


def is_null(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, pandas' NA, or masked."""
    if value is None or type(value).__name__ in {"NAType", "NaTType", "MaskedConstant"}:
        return True
    if isinstance(value, Decimal):  # of which a signalling NaN cannot be compared
        return value.is_nan()
    return isinstance(value, float | np.generic) and bool(value != value)


def listed(values: Any, place: str = "names") -> list[Any]:
    """Return a sequence, array, Index, Series or Arrow column as a list; None where masked.

    Raises:
        RoundError: it is no sequence, or holds text that is not UTF-8.
    """
    try:
        times = getattr(getattr(values, "dtype", None), "kind", "") in ("m", "M")
        for method in ("to_pylist", "tolist", "to_list"):  # NumPy makes integers of times
            if hasattr(values, method) and not times:
                values = getattr(values, method)()
                break
        return list(values)
    except UnicodeDecodeError as error:
        raise RoundError("file-encoding", f"{place}: {error}") from error
    except TypeError:
        raise RoundError("data-type", f"{place}: a value {type_of(values)} is given") from None


def first_ids(wrong: Any, ids: Sequence[str] | None) -> str:
    """Return "7 of 5,000, first 'a', 'b' and 'c'": how often and where a mask is true."""
    places = np.flatnonzero(wrong)
    first = [f"row {n + 1:,}" if ids is None else ascii(ids[n]) for n in places[:3].tolist()]
    return f"{len(places):,} of {len(wrong):,}, first {', '.join(first)}"
