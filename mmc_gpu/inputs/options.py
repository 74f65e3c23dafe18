"""What both worlds, rounds and eras, let their callers choose."""

from collections.abc import Callable
from typing import Any, Literal, get_args

Progress = Callable[[str, int, int], None]
"""Called with a stage ("blend", "score"), how many users are done, and how many there are."""

Missing = Literal["error", "fill"]
OnError = Literal["fail", "quarantine"]


def check_option(name: str, value: Any, kind: Any) -> None:
    """Raise ValueError where an option is none of its kind's texts."""
    texts = get_args(kind)
    if not isinstance(value, str) or value not in texts:
        given = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise ValueError(f"{name} must be {' or '.join(map(repr, texts))}, not {given}")
