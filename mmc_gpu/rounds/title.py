"""What a round is called: its name, its number, and the day of its targets."""

import re
from datetime import UTC, date, datetime
from typing import Any, NamedTuple


class RoundTitle(NamedTuple):
    """What a result says of its round, besides what was scored."""

    round: str  # its name
    number: int | None  # of a name such as 612 or round_612; None where it has no single number
    date: str | None  # the day of the targets, such as 2026-11-27, in UTC; None if it is not known

    @classmethod
    def of(cls, name: str, day: str | float | None) -> "RoundTitle":
        """Return the title of a round; the day is as ISO has it, or in seconds since 1970, or None.

        In the name, characters that are no text are escaped.

        Raises:
            ValueError: there is no such day.
        """
        number = re.fullmatch(r"\D*(\d{1,9})", name, re.ASCII)
        if isinstance(day, float):
            day = datetime.fromtimestamp(day, UTC).date().isoformat()
        elif day is not None and not _is_day(day):
            raise ValueError(f"a day is written as 2026-11-27, not {day!r}")
        text = name.encode(errors="backslashreplace").decode()
        return cls(text, int(number[1]) if number else None, day)

    def __str__(self) -> str:
        """Return "612, targets of 2026-11-27"."""
        return self.round if self.date is None else f"{self.round}, targets of {self.date}"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:  # which does not say what it is about
        return False


def said(title: RoundTitle | None) -> dict[str, Any]:
    """Return a title as JSON has it; nothing where a round has none, because it was in memory."""
    return {} if title is None else title._asdict()
