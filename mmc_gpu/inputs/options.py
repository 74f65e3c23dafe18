"""What both worlds, rounds and eras, let their callers choose."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    pass


Progress = Callable[[str, int, int], None]
"""Called with a stage ("blend", "score"), how many users are done, and of how many."""


Missing = Literal["error", "fill"]
OnError = Literal["fail", "quarantine"]
