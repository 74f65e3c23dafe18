"""What both worlds, rounds and eras, let their callers choose, and what they refuse."""

from collections.abc import Callable
from typing import Any, Literal, get_args

from mmc_gpu.errors import as_given

Progress = Callable[[str, int, int], None]
"""Called with a stage ("blend", "score"), how many users are done, and how many there are."""


def silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


Missing = Literal["error", "fill"]
OnError = Literal["fail", "quarantine"]
LEAVE_ONE_OUT = "leave_one_out"  # among a round's further scores, though no metric


def check_option(name: str, value: Any, kind: Any) -> None:
    """Raise ValueError where an option is none of its kind's texts."""
    texts = get_args(kind)
    if not isinstance(value, str) or value not in texts:
        raise ValueError(f"{name} must be {' or '.join(map(repr, texts))}, not {as_given(value)}")


def refuse_beside_round(**beside: Any) -> None:
    """Raise ValueError where something is given, by name, that a `Round` has already."""
    if names := [name for name, value in beside.items() if value is not None]:
        detail = "given beside a Round, which has its own; give them where the Round is made"
        raise ValueError(f"{', '.join(names)} {detail}")
