"""What a type checker learns of results: a DataFrame gives a Series, a Series gives a number.

Each decorator returns its function as it is, which type checkers see as a family of overloads.
Kinds that they do not tell apart, arrays and polars frames, give `Any`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

if TYPE_CHECKING:
    import pandas as pd

Data = TypeVar("Data")
"""What goes in as a frame, a Series or an array comes out as one."""

Other = TypeVar("Other")
P = ParamSpec("P")


class Scored(Protocol[P]):
    """A function of predictions that gives every user a number."""

    @overload
    def __call__(
        self, predictions: "pd.DataFrame", *args: P.args, **kwargs: P.kwargs
    ) -> "pd.Series[float]": ...
    @overload
    def __call__(
        self, predictions: "pd.Series[Any]", *args: P.args, **kwargs: P.kwargs
    ) -> float: ...
    @overload
    def __call__(self, predictions: Any, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class Correlated(Protocol[P]):
    """The same, behind a target."""

    @overload
    def __call__(
        self, target: Any, predictions: "pd.DataFrame", *args: P.args, **kwargs: P.kwargs
    ) -> "pd.Series[float]": ...
    @overload
    def __call__(
        self, target: Any, predictions: "pd.Series[Any]", *args: P.args, **kwargs: P.kwargs
    ) -> float: ...
    @overload
    def __call__(self, target: Any, predictions: Any, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class Changed(Protocol[P]):
    """A function of two eras that gives every user a number."""

    @overload
    def __call__(
        self, s1: "pd.DataFrame", *args: P.args, **kwargs: P.kwargs
    ) -> "pd.Series[float]": ...
    @overload
    def __call__(self, s1: "pd.Series[Any]", *args: P.args, **kwargs: P.kwargs) -> float: ...
    @overload
    def __call__(self, s1: Any, *args: P.args, **kwargs: P.kwargs) -> Any: ...


def scored(function: Callable[Concatenate[Any, P], Any]) -> Scored[P]:
    """Return a function of predictions, typed."""
    return cast("Scored[P]", function)


def correlated(function: Callable[Concatenate[Any, Any, P], Any]) -> Correlated[P]:
    """Return a function of a target and predictions, typed."""
    return cast("Correlated[P]", function)


def changed(function: Callable[Concatenate[Any, P], Any]) -> Changed[P]:
    """Return a function of two eras, typed."""
    return cast("Changed[P]", function)
