"""Stakes, and the meta model that they weight."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mmc_gpu.engines import GROUP, Engine, load_engine
from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.frames import arrow_table, named_columns
from mmc_gpu.metrics.population.magnitude import near_one
from mmc_gpu.metrics.population.panels import Panel, take_panel


def take_stakes(stakes: Any, panel: Panel) -> tuple[Integers, Floats, "pd.Index[Any]"]:
    """Return which rows of a panel the stakes name, in their order, the stakes, and their labels.

    Args:
        stakes: user to NMR as a Series or mapping, a frame (user, stake), or a (users,) array. A
            missing stake is none.
        panel: the predictions.

    Raises:
        RoundError: a user has no predictions, or stands twice; a stake is negative or infinite, or
            nobody has one.
    """
    if isinstance(stakes, Mapping):
        stakes = pd.Series(dict(stakes), dtype=np.float64)
    elif not isinstance(stakes, pd.Series) and hasattr(stakes, "__arrow_c_stream__"):
        table = arrow_table(stakes)
        columns = named_columns(table.column_names, ("user", "stake"), "stakes")
        user, stake = (table.column(at).to_pylist() for at in columns)
        stakes = pd.Series(stake, index=user, dtype=np.float64)
    elif not isinstance(stakes, pd.Series):
        stakes = pd.Series(np.asarray(stakes, np.float64))
        if len(stakes) != len(panel.names):
            raise RoundError("array-shape", f"{len(panel.names):,} users, {len(stakes):,} stakes")
        stakes.index = pd.Index(panel.names) if panel.labels is None else panel.labels
    if not stakes.index.is_unique:
        twice = stakes.index[stakes.index.duplicated()]
        raise RoundError("user-duplicate", f"stakes: {shown(twice)}")
    rows = pd.Index(panel.names).get_indexer(stakes.index)
    if (rows < 0).any():
        strays = stakes.index[rows < 0]
        raise RoundError("column-missing", f"predictions: no column for {shown(strays)}")
    amounts = near_one(stakes.fillna(0.0).to_numpy(np.float64))  # only their shares count
    if not (np.isfinite(amounts) & (amounts >= 0)).all():
        raise RoundError("stake-invalid", f"stakes from {amounts.min()} to {amounts.max()}")
    if not amounts.sum():
        raise RoundError("stake-none", f"none of {len(amounts):,} users has a stake")
    return rows.astype(np.int64), amounts, stakes.index


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
            `take_stakes`.

    Source: numerai_tools.scoring.stake_weight 0.7.2.
    """
    panel = take_panel(predictions, "predictions")
    rows, amounts, _ = take_stakes(stakes, panel)
    for row in rows[amounts > 0].tolist():
        if row in panel.faults:
            raise panel.faults[row]
    loaded = load_engine(engine)
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
