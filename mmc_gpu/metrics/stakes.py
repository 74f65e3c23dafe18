"""Stakes, the meta model that they weight, and what they earn or burn."""

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mmc_gpu.engines import GROUP, Engine, load_engine
from mmc_gpu.engines.arrays import Floats, Integers, value_count
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.frames import is_pandas
from mmc_gpu.inputs.names import is_null
from mmc_gpu.metrics.population.panels import Panel, take_panel
from mmc_gpu.rounds.stakes import check_stakes, list_stakes

if TYPE_CHECKING:
    import pandas as pd


def staked_rows(stakes: Any, panel: Panel) -> "tuple[Integers, Floats, pd.Index[Any] | None]":
    """Return which rows of a panel the stakes name, in their order, the stakes, and their labels.

    The law is that of rounds, but for two points, which are as in numerai-tools: a missing stake
    is none, and who has a stake must have predictions.

    Args:
        stakes: user to NMR as a Series or mapping, a frame (user, stake), or a (users,) array.
        panel: the predictions.

    Returns:
        (S,) rows, (S,) NMR, and (S,) pandas labels; None where pandas has none.

    Raises:
        RoundError: a user has no predictions, or stands twice; a stake is neither 0 nor within
            [1e-18, 1e15], or nobody has one.
    """
    users, values = list_stakes(stakes, panel.names, "stakes")
    checked = check_stakes(users, [0.0 if is_null(value) else value for value in values])
    for fault in checked.faults.values():
        raise fault
    places = {name: row for row, name in enumerate(panel.names)}
    if strays := [user for user in users if user not in places]:
        raise RoundError("column-missing", f"predictions: no column for {shown(strays)}")
    amounts = np.array(list(checked.values.values()), np.float64)
    if not amounts.any():
        raise RoundError("stake-none", f"none of {len(amounts):,} users has a stake")
    rows = np.array([places[user] for user in users], np.int64)
    labels = None if panel.labels is None else panel.labels[rows]
    return rows, amounts, stakes.index if is_pandas(stakes, "Series") else labels


@overload
def stake_weight(
    predictions: "pd.DataFrame", stakes: Any, *, engine: str | Engine = ...
) -> "pd.Series[float]": ...
@overload
def stake_weight(predictions: Any, stakes: Any, *, engine: str | Engine = ...) -> Any: ...
def stake_weight(predictions: Any, stakes: Any, *, engine: str | Engine = "auto") -> Any:
    """Return the stake-weighted meta model: each stock's mean over the users who predict it.

    A missing prediction has no weight; numerai-tools counts it as 0. What users without a stake
    predict is not looked at.

    Args:
        predictions: (ids x users) frame or array, as they are: not ranked.
        stakes: user to NMR as a Series or mapping, a frame (user, stake), or a (users,) array.
        engine: its name, or an engine.

    Returns:
        A Series or (ids,) array; a frame (id, meta_model) for polars. NaN where nobody predicts.

    Raises:
        RoundError: a staked user's column holds no numbers or an infinite one, or as in
            `staked_rows`.

    Source: numerai_tools.scoring.stake_weight 0.7.2.
    """
    panel = take_panel(predictions, "predictions")
    rows, amounts, _ = staked_rows(stakes, panel)
    for row in rows[amounts > 0].tolist():
        if row in panel.faults:
            raise panel.faults[row]
    loaded = load_engine(engine, work=value_count(panel.matrix))
    blend = loaded.zeros(1, panel.matrix.shape[1])
    stake = np.zeros(panel.matrix.shape[1])
    for start in range(0, len(rows), GROUP):
        users, weights = rows[start : start + GROUP], amounts[start : start + GROUP]
        block = panel.matrix[users]
        missing = ~np.isfinite(block)
        if missing.any():
            for row in users[np.isinf(block).any(axis=1) & (weights > 0)].tolist():
                user = shown([panel.names[row]])
                raise RoundError("series-infinite", f"predictions: user {user} has infinite ones")
            block = np.where(missing, block.dtype.type(0), block)
            stake += weights @ (~missing).astype(np.float64)
        else:
            stake += weights.sum()
        blend = loaded.combine(blend, loaded.put(block), weights[None])
    total = loaded.get(blend)[0]
    mean = np.divide(total, stake, out=np.full(total.shape, np.nan), where=stake > 0)
    return panel.one_series(mean, "meta_model")


def payout(
    stake: Any,
    corr: Any,
    mmc: Any = 0.0,
    *,
    corr_multiplier: Any = 1.0,
    mmc_multiplier: Any = 0.0,
    payout_factor: Any = 1.0,
    cap: float = 0.25,
) -> Any:
    """Return NMR earned, or burnt where negative: numbers, arrays or Series alike.

    `stake * clip(payout_factor * (corr_multiplier * corr + mmc_multiplier * mmc), -cap, cap)`

    The factor stands inside the clip, as in Numerai's documents since 2023. Before 2023 its place
    is unknown: no published payout has both a factor below 1 and scores that reach the cap.

    Args:
        stake: NMR at risk.
        corr: correlation score.
        mmc: contribution score.
        corr_multiplier: chosen for the first, as 1.0.
        mmc_multiplier: chosen for the second, as 0.0, 0.5, 1.0, 2.0.
        payout_factor: of the round, falling as more is staked.
        cap: largest share of the stake that is paid or burnt.

    Source: docs.numer.ai, and 28,304 of the 28,309 payouts of real stakes published for rounds 251
    to 261.
    """
    score = corr_multiplier * corr + mmc_multiplier * mmc
    return stake * np.clip(payout_factor * score, -cap, cap)
