"""The same round, scored in every way there is.

The pandas loops are measured on a few users and extrapolated: each user costs them the same.
"""

from collections.abc import Iterator

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import (
    CLOSED_FORM,
    PANDAS,
    PANDAS_BLENDS,
    assert_parity,
    engines,
    numerai_tools,
    scorer,
)

_SHAPES = {"tiny": [(30, 80)], "quick": [(500, 5000)], "full": [(500, 5000), (5000, 5000)]}
_MEASURED = {PANDAS: 5, PANDAS_BLENDS: 25}
"""Users that the pandas loops score."""


def competitors() -> tuple[str, ...]:
    return (*engines(), CLOSED_FORM, *numerai_tools(), *_MEASURED)


def entries(size: Size) -> Iterator[Entry]:
    for users, stocks in _SHAPES[size]:
        case = Case(users, stocks, kind="logistic")
        for name in competitors():
            fast = name in engines() or name == CLOSED_FORM
            turns = 1 if size == "tiny" else 7 if fast else 2
            yield Entry(case, name, turns=turns, users=_MEASURED.get(name))


def bench_peers(entry: Entry, measure: Measure) -> None:
    assert_parity(entry.case, competitors(), users=1)
    measure(scorer(entry.competitor, entry.case, entry.users))
