"""Charts of a round's scores for a notebook or a paper, with matplotlib (extra: plot)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.errors import shown
from mmc_gpu.scores import RoundScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "0.6"
"""Told apart by colour-blind readers too (Okabe and Ito)."""


class RoundPlots:
    """Charts of a round's scores; each takes `ax=` to draw on, and returns the axes.

    `target=` names whose scores; by default the first target's. Needs matplotlib, which
    `pip install "mmc-gpu[plot]"` brings.
    """

    def __init__(self, scores: RoundScores) -> None:
        """Keep the scores; nothing is drawn yet."""
        self._scores = scores

    def mmc(self, *, ax: "Axes | None" = None, target: str | None = None) -> "Axes":
        """Draw how many users have which MMC."""
        values = self._scores.mmc[self._scores.target_number(target)]
        ax = _axes(ax)
        ax.hist(values[np.isfinite(values)], bins="auto", color=_BLUE)
        ax.axvline(0, color=_GREY, linewidth=1)
        ax.set(xlabel="MMC", ylabel="users")
        return ax

    def corr(self, *, ax: "Axes | None" = None, target: str | None = None) -> "Axes":
        """Draw MMC against CORR: who predicts the target, and who adds to the meta model."""
        number = self._scores.target_number(target)
        ax = _axes(ax)
        for line in (ax.axhline, ax.axvline):
            line(0, color=_GREY, linewidth=1)
        _dots(ax, self._scores.corr[number], self._scores.mmc[number])
        ax.set(xlabel="CORR", ylabel="MMC")
        return ax

    def stake(self, *, ax: "Axes | None" = None, target: str | None = None) -> "Axes":
        """Draw MMC against stake, of the staked users."""
        staked = self._scores.stakes > 0.0
        mmc = self._scores.mmc[self._scores.target_number(target)]
        ax = _axes(ax)
        ax.axhline(0, color=_GREY, linewidth=1)
        _dots(ax, self._scores.stakes[staked], mmc[staked])
        ax.set(xscale="log", xlabel="stake in NMR", ylabel="MMC")
        return ax

    def leaderboard(
        self, top: int = 20, *, ax: "Axes | None" = None, target: str | None = None
    ) -> "Axes":
        """Draw the best users' MMC with two standard errors to each side, the best on top."""
        scores, number = self._scores, self._scores.target_number(target)
        best = scores.order(number)[:top]
        places = np.arange(len(best))
        ax = _axes(ax)
        errors = 2 * scores.mmc_se[number, best]
        ax.errorbar(scores.mmc[number, best], places, xerr=errors, fmt="o", color=_BLUE)
        _name_rows(ax, [scores.users[user] for user in best])
        ax.set(xlabel="MMC ± 2 standard errors")
        return ax

    def draws(self, *users: str, ax: "Axes | None" = None, target: str | None = None) -> "Axes":
        """Draw users' MMC in every draw, one dot each, and its mean.

        Args:
            users: names; the first is highlighted. By default the best ten.
            ax: where to draw.
            target: whose scores.

        Raises:
            ValueError: there is no such user or target, or the draws were not kept.
        """
        scores, number = self._scores, self._scores.target_number(target)
        if unknown := [user for user in users if user not in scores.users]:
            raise ValueError(f"no user {shown(unknown)} in this round")
        chosen = [scores.users.index(user) for user in users] or scores.order(number)[:10].tolist()
        ax = _axes(ax)
        for place, user in enumerate(chosen):
            color = _ORANGE if users and place == 0 else _BLUE
            (per_draw,) = scores.draws_of(number, np.array([user]))
            ax.plot(per_draw, np.full(len(per_draw), place), "o", color=color, alpha=0.4)
            ax.plot(
                scores.mmc[number, user], place, "|", color=color, markersize=18, markeredgewidth=2
            )
        _name_rows(ax, [scores.users[user] for user in chosen])
        ax.set(xlabel="MMC of each draw")
        return ax


def _axes(ax: "Axes | None") -> "Axes":
    """Return the axes given, or pyplot's current ones, as pandas' plots do."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        remedy = "plots need matplotlib: pip install 'mmc-gpu[plot]'"
        raise ModuleNotFoundError(remedy, name="matplotlib") from None
    return pyplot.gca()


def _dots(ax: "Axes", x: Any, y: Any) -> None:
    ax.plot(x, y, "o", color=_BLUE, markersize=4, alpha=0.4, markeredgewidth=0)


def _name_rows(ax: "Axes", names: list[str]) -> None:
    """Label rows with names, the first on top; a dollar sign starts no formula."""
    ax.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    ax.invert_yaxis()
