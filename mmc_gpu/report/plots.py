"""Charts of scores for a notebook or a paper, with matplotlib (extra: plot)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.eras.comparison import Standing
from mmc_gpu.eras.evaluation import EraScores
from mmc_gpu.errors import shown, whole
from mmc_gpu.rounds.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "0.6"
"""Colour-blind readers can tell them apart too (Okabe and Ito)."""

_MOST_NAMED = 40  # a map of at most so many rows has their names beside it


class RoundPlots:
    """Charts of a round's scores; each takes `ax=` to draw on, and returns the axes.

    `target=` names the target; by default the first one. Needs matplotlib, which
    `pip install "mmc-gpu[plot]"` brings.
    """

    def __init__(self, scores: Scores) -> None:
        self._scores = scores

    def mmc(self, *, ax: "Axes | None" = None, target: str | None = None) -> "Axes":
        """Draw a histogram of the users' MMC."""
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
        best = scores.order(number)[: whole("top", top)]
        places = np.arange(len(best))
        ax = _axes(ax)
        errors = 2 * scores.mmc_se[number, best]
        ax.errorbar(scores.mmc[number, best], places, xerr=errors, fmt="o", color=_BLUE)
        _name_rows(ax, [scores.users[user] for user in best])
        ax.set(xlabel="MMC ± 2 standard errors")
        return ax

    def draws(self, *users: str, ax: "Axes | None" = None, target: str | None = None) -> "Axes":
        """Draw users' MMC in every draw, one dot a draw, and its mean; by default of the best ten.

        The first user who is named is highlighted.

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


class EvaluationPlots:
    """Charts of models over eras; each takes `ax=` to draw on, and returns the axes.

    `score=` and `target=` name the score and its target; by default the first ones. Eras before a
    model's first score and after its last one are gaps. Needs matplotlib, which
    `pip install "mmc-gpu[plot]"` brings.
    """

    def __init__(self, evaluation: EraScores) -> None:
        self._evaluation = evaluation

    def cumulative(
        self,
        *models: str,
        ax: "Axes | None" = None,
        score: str | None = None,
        target: str | None = None,
    ) -> "Axes":
        """Draw the running sum of models' scores, a line each.

        Without names, those of the benchmarks and the best five models.

        Raises:
            ValueError: there is no such model, score or target.
        """
        standing = self._evaluation.standing(score, target)
        ax = self._lines(_axes(ax), models, standing, _sums(standing.scores))
        ax.set(xlabel="era", ylabel=f"running sum of {standing.score}")
        return ax

    def drawdown(
        self,
        *models: str,
        ax: "Axes | None" = None,
        score: str | None = None,
        target: str | None = None,
    ) -> "Axes":
        """Draw how far models' running sums are below their highest so far, see `cumulative`."""
        standing = self._evaluation.standing(score, target)
        sums = _sums(standing.scores)
        ax = self._lines(_axes(ax), models, standing, sums - np.fmax.accumulate(sums))
        ax.set(xlabel="era", ylabel=f"drawdown of {standing.score}")
        return ax

    def eras(
        self, *, ax: "Axes | None" = None, score: str | None = None, target: str | None = None
    ) -> "Axes":
        """Draw every model's score in every era as a map of colours, the best model on top.

        Raises:
            ValueError: there is no such score or target.
        """
        standing = self._evaluation.standing(score, target)
        scores, order = standing.scores, [*standing.order, *standing.few]
        ax = _axes(ax)
        limit = float(np.nanquantile(np.abs(scores), 0.98)) if np.isfinite(scores).any() else 1.0
        colours: dict[str, Any] = {"cmap": "RdBu", "vmin": -limit, "vmax": limit}
        image = ax.imshow(scores[:, order].T, aspect="auto", interpolation="nearest", **colours)
        ax.figure.colorbar(image, ax=ax, label=standing.score)
        if len(order) <= _MOST_NAMED:
            _name_rows(ax, [self._evaluation.models[model] for model in order])
            ax.invert_yaxis()  # an image has its first row on top already
        _name_eras(ax, self._evaluation)
        ax.set(xlabel="era")
        return ax

    def _lines(
        self, ax: "Axes", models: tuple[str, ...], standing: Standing, values: Floats
    ) -> "Axes":
        evaluation = self._evaluation
        if unknown := [model for model in models if model not in evaluation.models]:
            raise ValueError(f"no model {shown(unknown)} in this evaluation")
        benchmarks = [evaluation.models.index(name) for name in evaluation.benchmarks]
        chosen = [evaluation.models.index(model) for model in models]
        for model in chosen or [*standing.ranked[:5], *benchmarks]:
            name = evaluation.models[model].replace("$", r"\$")
            style = "--" if model in benchmarks else "-"
            # a label that starts with an underscore is hidden
            ax.plot(values[:, model], style, label=f"\u200b{name}" if name[:1] == "_" else name)
        ax.axhline(0, color=_GREY, linewidth=1)
        _name_eras(ax, evaluation)
        ax.legend()
        return ax


def _sums(scores: Floats) -> Floats:
    """Return running sums; an era without a score adds nothing, but is a gap at either end."""
    present = ~np.isnan(scores)
    within = np.logical_or.accumulate(present) & np.logical_or.accumulate(present[::-1])[::-1]
    return np.where(within, np.cumsum(np.nan_to_num(scores), axis=0), np.nan)


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


def _name_eras(ax: "Axes", evaluation: EraScores) -> None:
    places = np.unique(np.linspace(0, len(evaluation.labels) - 1, 6).round().astype(int))
    ax.set_xticks(places, [str(evaluation.labels[place]) for place in places])
