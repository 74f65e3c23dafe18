"""`scores.plot` and `evaluation.plot`: axes that show the scores."""

import numpy as np
import pandas as pd
import pytest
from made_rounds import make_round

import mmc_gpu

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def scores():
    made = make_round(12, 60)
    predictions, stakes, target = made.frames()
    named = {"user_00000": "$\\alpha$_<b>", "user_00001": "$5"}
    targets = target.to_frame("first").assign(second=target[::-1].to_numpy())
    return mmc_gpu.score_round(
        predictions.rename(columns=named), stakes.rename(named), targets, engine="numpy"
    )


@pytest.fixture
def ax():
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    yield axes
    pyplot.close(figure)


def names(ax):
    ax.figure.canvas.draw()
    return [label.get_text() for label in ax.get_yticklabels()]


def dots(ax):
    """Return the places of the first series of dots."""
    (line, *_) = [line for line in ax.lines if line.get_marker() == "o"]
    return line.get_data()


@pytest.mark.parametrize("name", ["mmc", "corr", "stake", "leaderboard", "draws"])
def test_every_plot_takes_axes_and_returns_them(scores, ax, name):
    assert getattr(scores.plot, name)(ax=ax) is ax
    ax.figure.canvas.draw()


def test_without_axes_pyplots_current_ones_are_drawn_on(scores, ax):
    assert scores.plot.mmc() is ax


def test_corr_shows_every_users_corr_and_mmc_of_the_target(scores, ax):
    scores.plot.corr(ax=ax, target="second")
    x, y = dots(ax)
    np.testing.assert_array_equal(x, scores.corr[1])
    np.testing.assert_array_equal(y, scores.mmc[1])


def test_stake_shows_the_staked_users_on_a_logarithmic_axis(scores, ax):
    scores.plot.stake(ax=ax)
    x, y = dots(ax)
    np.testing.assert_array_equal(x, scores.stakes[scores.stakes > 0])
    np.testing.assert_array_equal(y, scores.mmc[0, scores.stakes > 0])
    assert ax.get_xscale() == "log"


def test_leaderboard_has_the_best_on_top(scores, ax):
    scores.plot.leaderboard(3, ax=ax)
    best = [scores.users[user].replace("$", r"\$") for user in scores.order()[:3]]
    assert names(ax) == best
    assert ax.yaxis_inverted()


def test_draws_shows_every_draw_of_the_users_named(scores, ax):
    scores.plot.draws("$5", "user_00004", ax=ax)
    x, y = dots(ax)
    np.testing.assert_array_equal(x, scores.per_draw[0, scores.users.index("$5")])
    assert set(y) == {0}
    assert names(ax) == [r"\$5", "user_00004"]


def test_an_unknown_user_or_target_is_an_error(scores, ax):
    with pytest.raises(ValueError, match="no user 'nobody'"):
        scores.plot.draws("nobody", ax=ax)
    with pytest.raises(ValueError, match="no target 'nothing'"):
        scores.plot.mmc(ax=ax, target="nothing")


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"era": np.repeat([f"era{era}" for era in range(1, 13)], 30)})
    frame["target"] = rng.choice([0, 0.5, 1], len(frame))
    for name in ("$\\alpha$", "_b", "c", "d", "e", "f", "bench"):
        frame[name] = rng.random(len(frame)) + 0.02 * frame["target"]
    frame.loc[:29, "c"] = np.nan
    return mmc_gpu.evaluate(
        frame, benchmarks=["bench"], metrics=["corr", "spearman"], engine="numpy"
    )


class TestEvaluation:
    @pytest.mark.parametrize("name", ["cumulative", "drawdown", "eras"])
    def test_every_plot_takes_axes_and_returns_them(self, evaluation, ax, name):
        assert getattr(evaluation.plot, name)(ax=ax, score="spearman") is ax
        ax.figure.canvas.draw()

    def test_cumulative_shows_the_running_sums_of_the_models_named(self, evaluation, ax):
        evaluation.plot.cumulative("_b", "c", ax=ax)
        first, second = ax.lines[:2]
        corr = evaluation.scores["corr"][0]
        np.testing.assert_array_equal(first.get_ydata(), corr[:, 1].cumsum())
        assert np.isnan(second.get_ydata()[0])  # no score in the first era: a gap, not 0
        assert second.get_ydata()[1] == corr[1, 2]
        assert second.get_ydata()[-1] == pytest.approx(np.nansum(corr[:, 2]), rel=1e-12)
        assert len(ax.get_legend().get_texts()) == 2

    def test_the_best_five_and_the_benchmark_are_shown_by_default(self, evaluation, ax):
        evaluation.plot.drawdown(ax=ax)
        assert len(ax.get_legend().get_texts()) == 6
        lowest = min(np.nanmin(line.get_ydata()) for line in ax.lines[:6])
        assert lowest < 0
        assert max(np.nanmax(line.get_ydata()) for line in ax.lines[:6]) == 0

    def test_eras_has_the_best_model_on_top(self, evaluation, ax):
        evaluation.plot.eras(ax=ax)
        corr = evaluation.scores["corr"][0]
        best = np.argsort(-corr[1:].mean(axis=0))  # the eras that all have
        np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan), corr[:, best].T)
        assert names(ax)[0] == evaluation.models[best[0]].replace("$", r"\$")
        assert ax.yaxis_inverted()

    def test_an_unknown_model_or_score_is_an_error(self, evaluation, ax):
        with pytest.raises(ValueError, match="no model 'nobody'"):
            evaluation.plot.cumulative("nobody", ax=ax)
        with pytest.raises(ValueError, match="no score 'nothing'"):
            evaluation.plot.eras(ax=ax, score="nothing")
