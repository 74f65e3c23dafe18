"""What the page of a round shows: gathered here, drawn by round.js."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.errors import CODES, counted
from mmc_gpu.report import page
from mmc_gpu.rounds.draws import draw_weights
from mmc_gpu.rounds.ranking import FEWEST_DRAWS, LEVEL, rank_intervals
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.title import RoundTitle

_SCRIPTS = ("leaderboard.js", "meta_model.js", "quality.js", "round.js")

_RECEIPT = {
    "scores_digest": "Scores",
    "draws_digest": "Draws",
    "parameters": "Parameters",
    "engine": "Engine",
    "versions": "Versions",
    "created": "Scored",
}

_MOST_DRAWN = 40
"""Draws that are shown of a user, and of the meta model: more dots could not be told apart."""

_MOST_STRIP_VALUES = 1_200_000
"""Values in all users' strips together: 20 draws of 60,000 users are 2 MB of the page."""

_MOST_TARGET_ROWS = 120_000
"""Users times targets that one page shows; `mmc-gpu report --target` shows another target."""

_BEST = 10_000  # the best users have a strip in any case; then come the largest stakers

_LISTED = 200  # quarantined users that the page lists; quarantine.csv lists all

_NAMED_STAKERS = 6  # stakers that have a colour of their own


def round_page(scores: Scores, receipt: Mapping[str, Any], target: int = 0) -> bytes:
    """Return the page of a round's scores on its targets, as many as there is room for.

    `target` is the number of the one that is shown first. Scores without draws have no strips and
    no rank intervals.
    """
    order = scores.order(target)
    shown = [target, *(number for number in range(len(scores.targets)) if number != target)]
    shown = shown[: max(1, _MOST_TARGET_ROWS // len(order))]
    title = receipt.get("title")
    called = "" if title is None else str(RoundTitle.of(title["round"], title["date"]))
    data = {
        "summary": _summary(scores, target) | {"round": called},
        "users": page.texts([scores.users[user] for user in order]),
        "columns": _columns(scores, order),
        "views": [_view(scores, number, order, len(shown)) for number in shown],
        "level": LEVEL,
        "meta_model": _meta_model(scores),
        "quality": _quality(scores),
        "receipt": page.receipt_rows(receipt, _RECEIPT),
    }
    heading = f"MMC of {counted(len(order), 'user')}"
    heading = f"{called}: {heading}" if called else heading
    return page.build_page(heading, "round.html", _SCRIPTS, data)


def page_shows(written: bytes, target: str) -> bool:
    """Return whether a page that `round_page` made shows this target first."""
    start = page.script_safe({"summary": {"target": target}}).removesuffix("}}")
    return f"{start},".encode() in written


def _columns(scores: Scores, order: Integers) -> dict[str, Any]:
    """Return what is known of each user whatever the target, in order."""
    return {
        "stake": page.floats(scores.stakes[order]),
        "with_mm": page.decimals(scores.corr_with_meta_model[order], 3),
        "filled": page.decimals(scores.filled[order], 0),
        "group": page.decimals(group_numbers(scores, order), 0),
    }


def _view(scores: Scores, target: int, first: Integers, targets: int) -> dict[str, Any]:
    """Return what the page shows of a target: users from the best to the worst on it.

    `first` has the users as the page lists them, and `order` places in this list. So many `targets`
    share the room for strips.
    """
    order = scores.order(target)
    place = np.empty(len(first), np.int64)
    place[first] = np.arange(len(first))
    decimals = page.decimals_for(scores.mmc[target], scores.mmc_se[target])
    columns = {
        "mmc": page.decimals(scores.mmc[target, order], decimals),
        "se": page.decimals(scores.mmc_se[target, order], decimals),
        "corr": page.decimals(scores.corr[target, order], 4),
    }
    if scores.per_draw is not None and scores.method.draws >= FEWEST_DRAWS:
        low, high = rank_intervals(scores.draws_of(target, order)).T
        columns |= {"low": page.decimals(low, 0), "high": page.decimals(high, 0)}
    if scores.further is not None and "worth" in scores.further.values:
        worth = scores.further.values["worth"][target, order]
        columns["worth"] = page.decimals(worth, page.decimals_for(worth) + 1)  # far below an MMC
    of_draws = scores.meta_model_corr[target]
    low_mmc, high_mmc = _percentiles(scores.mmc[target], 16, 84)
    return {
        "target": scores.targets[target],
        "order": page.integers(place[order]),
        "columns": columns,
        "strips": _strips(scores, target, order, targets),
        "corr": page.number(scores.full_meta_model_corr[target]),
        "corr_range": [page.number(of(of_draws)) for of in (np.fmin.reduce, np.fmax.reduce)],
        "corr_drawn": [page.number(corr) for corr in of_draws[:_MOST_DRAWN]],
        "spread": page.number(high_mmc / 2 - low_mmc / 2),  # a deviation without outliers
        "error": page.number(_percentiles(scores.mmc_se[target], 50)[0]),
    }


def _summary(scores: Scores, target: int) -> dict[str, Any]:
    return {
        "target": scores.targets[target],
        "targets": scores.targets,
        "users": len(scores.users),
        "stakers": int(np.count_nonzero(scores.stakes)),
        "stocks": scores.stocks,
        "draws": scores.method.draws,
        "sample": scores.method.sample,
        "nmr": float(scores.stakes.sum()),
        "engine": scores.engine,
        "quarantined": len(scores.quarantined),
    }


@np.errstate(over="ignore", invalid="ignore")
def _strips(scores: Scores, target: int, order: Integers, targets: int) -> dict[str, Any] | None:
    """Return users' MMC in the first draws minus its mean; of the best and the largest stakers."""
    if scores.per_draw is None:
        return None
    draws = min(scores.method.draws, _MOST_DRAWN)
    room = _MOST_STRIP_VALUES // (draws * targets)
    rows = np.arange(len(order))
    if len(order) > room:
        by_stake = np.argsort(-scores.stakes[order][_BEST:], kind="stable") + _BEST
        rows = np.sort(np.concatenate([rows[:_BEST], by_stake])[:room])
    unit = 10.0 ** page.decimals_for(scores.mmc[target], scores.mmc_se[target])
    chosen = order[rows]
    values = np.rint(scores.draws_of(target, chosen)[:, :draws] * unit)
    means = np.rint(scores.mmc[target, chosen] * unit)
    return {
        "draws": draws,
        "rows": page.integers(rows),
        "values": page.integers(np.nan_to_num(values - means[:, None], posinf=0, neginf=0)),
    }


def group_numbers(scores: Scores, order: Integers) -> Integers:
    """Return the number of each user's group of identical scores, in order; 0 for no group."""
    tables = [scores.mmc, scores.mmc_se, scores.corr, scores.corr_with_meta_model[None]]
    rows = [row.tobytes() for row in np.concatenate(tables).T[order] + 0.0]
    times, numbers = Counter(rows), dict[bytes, int]()
    return np.array(
        [numbers.setdefault(row, len(numbers) + 1) if times[row] > 1 else 0 for row in rows]
    )


def _meta_model(scores: Scores) -> dict[str, Any]:
    """Return which stakers make the meta model of the full stakes, and those of the first draws."""
    stakers = int(np.count_nonzero(scores.stakes))
    stakes = scores.stakes[:stakers]
    counts = scores.counts[:_MOST_DRAWN]
    full, weights = stakes / stakes.sum(), draw_weights(stakes, counts)
    largest = np.argsort(-stakes, kind="stable")
    ordered = np.cumsum(full[largest])
    places = np.unique(np.geomspace(1, stakers, 100).astype(np.int64))
    times = scores.counts.sum(axis=0)
    width = -(-int(times.max() - times.min() + 1) // _MOST_DRAWN)
    return {
        "effective": 1 / float((full**2).sum()),
        "effective_drawn": _rounded(1 / (weights**2).sum(axis=1), 1),
        "stakers": [
            {
                "user": scores.users[staker],
                "stake": float(stakes[staker]),
                "share": float(full[staker]),
                "times": int(times[staker]),
                "draws": int(np.count_nonzero(scores.counts[:, staker])),
                "shares": _rounded(weights[:, staker], 4),
            }
            for staker in largest[:10]
        ],
        "named": min(_NAMED_STAKERS, stakers),
        "concentration": [[int(place), float(ordered[place - 1])] for place in places],
        "times": {
            "first": int(times.min()),
            "width": width,
            "stakers": np.bincount((times - times.min()) // width).tolist(),
        },
        "never": int(np.count_nonzero(times == 0)),
        "left_out": float((scores.counts == 0).mean()),
    }


def _quality(scores: Scores) -> dict[str, Any]:
    codes = Counter(fault.code for fault in scores.quarantined)
    return {
        "codes": [[code, times, *CODES.get(code, ("", ""))] for code, times in codes.most_common()],
        "quarantined": [[fault.user, fault.detail] for fault in scores.quarantined[:_LISTED]],
        "notes": list(scores.notes),
    }


def _percentiles(numbers: Floats, *percents: int) -> Floats:
    found = numbers[np.isfinite(numbers)]
    return np.percentile(found if len(found) else [np.nan], percents)


def _rounded(numbers: Floats, decimals: int) -> list[float]:
    return [round(number, decimals) for number in numbers.tolist()]
