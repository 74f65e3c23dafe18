"""What both worlds, rounds and eras, let their callers choose."""

from collections.abc import Callable
from typing import Literal

Progress = Callable[[str, int, int], None]
"""Called with a stage ("blend", "score"), how many users are done, and how many there are."""

Missing = Literal["error", "fill"]
OnError = Literal["fail", "quarantine"]
