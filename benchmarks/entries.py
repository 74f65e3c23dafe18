"""What a benchmark file runs: competitors on cases, in turns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from benchmarks.cases import Case
from benchmarks.peers.competitors import CLOSED_FORM


@dataclass(frozen=True)
class Entry:
    """One competitor on one case.

    Attributes:
        case: the round that it runs on.
        competitor: who is timed.
        part: what is timed, where a file times several things.
        against: the competitor whose median is divided by this one's; "" for none.
        turns: how often it is timed; the result is the median.
        users: how many users are measured, if the time of all is extrapolated; else None.
    """

    case: Case
    competitor: str
    part: str = "round"
    against: str = CLOSED_FORM
    turns: int = 5
    users: int | None = None

    def __str__(self) -> str:
        """Return an id for pytest."""
        case = self.case
        where = f"{case.kind}-{case.dtype}-{case.users}x{case.stocks}x{case.draws}"
        return f"{where}-{self.part}-{self.competitor}".replace(" ", "_")


def taking_turns(entries: Iterable[Entry]) -> Iterator[tuple[Entry, int]]:
    """Yield each entry once a turn: what is compared is timed in the same minutes.

    Entries of one case must stand together; the case's round is made once.
    """
    for _, group in groupby(entries, key=lambda entry: entry.case):
        rivals = list(group)
        for turn in range(max(entry.turns for entry in rivals)):
            yield from ((entry, turn) for entry in rivals if turn < entry.turns)
