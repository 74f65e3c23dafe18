"""A whole round, from arrays to scores, over every kind of data: engines and the closed form."""

from collections.abc import Iterator

from benchmarks.cases import KINDS, Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import CLOSED_FORM, assert_parity, engines, fast_engines, scorer

_SHAPES = {"tiny": (40, 60), "quick": (300, 5000), "full": (5000, 5000)}
_TURNS = {"tiny": 1, "quick": 3, "full": 3}


def entries(size: Size) -> Iterator[Entry]:
    users, stocks = _SHAPES[size]
    for kind in KINDS:
        for dtype in ("float64", "float32"):
            case = Case(users, stocks, kind=kind, dtype=dtype)
            for name in (*fast_engines(), CLOSED_FORM):
                yield Entry(case, name, turns=_TURNS[size])


def bench_round(entry: Entry, measure: Measure) -> None:
    assert_parity(entry.case, (*engines(), CLOSED_FORM))
    measure(scorer(entry.competitor, entry.case))
