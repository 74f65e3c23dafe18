"""Metrics of one's own: a function of predictions and target becomes a row of the table."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.eras.era import Era
from mmc_gpu.eras.metrics import METRICS, Metric
from mmc_gpu.errors import shown, type_of
from mmc_gpu.inputs.columns import without_masks

_TAKEN = {"target", "era", "model", "missing", "rank", "kind", "eras", "note"}
"""Columns that stand beside scores in tables."""


def own_metric(function: Callable[..., Any]) -> Metric:
    """Return the row of a caller's function; see `evaluate`.

    Raises:
        ValueError: the function has no name of its own.
    """
    name = getattr(function, "__name__", "")
    if not name.isidentifier() or name in METRICS or name in _TAKEN:
        taken = f"{name} is taken" if name.isidentifier() else f"{function!r} has no name"
        raise ValueError(f"metrics: {taken}; write `def my_metric(predictions, target)`")
    what = "A metric of one's own, taken for a return"
    score = partial(_score, function)
    return Metric(name, "", ("target",), "higher", True, score, what, compares=True)


def _score(function: Callable[..., Any], _: Any, era: Era, *, engine: Any, faults: Any) -> Floats:
    """Return what the function has for the models that miss no prediction: (U,)."""
    panel, name = era.models, function.__name__
    faults |= {panel.names[row]: fault for row, fault in panel.faults.items()}
    rows = [row for row in range(len(panel.names)) if row not in panel.faults]
    scores, models = np.full(len(panel.names), np.nan), [panel.names[row] for row in rows]
    if models:
        ids = era.ids if era.ids is not None else pd.RangeIndex(era.rows)
        predictions = pd.DataFrame(panel.matrix[rows].T, ids, pd.Index(models, dtype=object))
        target = pd.Series(era.target.copy(), ids, name=era.target_name)
        try:
            scores[rows] = _numbers(function(predictions, target), models, name)
        except BaseException as error:
            error.add_note(f"metric {name}, era {era.label}")
            raise
    return scores


def _numbers(found: Any, models: list[Any], name: str) -> Floats:
    """Return one number a model, from a Series or mapping by name, or in the models' order."""
    if isinstance(found, pd.Series | Mapping):
        by_name = dict(found)
        if set(by_name) != set(models) or len(found) != len(models):
            odd = shown(sorted(set(by_name) ^ set(models), key=str))
            raise ValueError(f"{name}: one number for each model's name, not so for {odd}")
        found = [by_name[model] for model in models]
    numbers = np.asarray([] if found is None else without_masks(found), np.float64)
    if numbers.ndim > 1 or numbers.size != len(models):
        shape = f"a value {type_of(found)}, of shape {numbers.shape}"
        raise ValueError(f"{name}: {len(models):,} numbers, one a model, not {shape}")
    return numbers.reshape(-1)
