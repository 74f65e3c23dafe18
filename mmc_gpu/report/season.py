"""What the page of a season shows: gathered here, drawn by season.js and person.js."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.errors import CODES, counted
from mmc_gpu.report import page as pack

_SCRIPTS = ("lines.js", "person.js", "season.js")

_MOST_USERS = 20_000
"""Users that the leaderboard of the page lists."""

_MOST_VALUES = 750_000
"""Scores, ranks and payouts of users over the rounds: about 2 MB of the page."""

_LISTED = 200
"""Quarantined users that the page lists, those of the last rounds first."""


def followed(columns: Mapping[str, Any], rounds: int, scores: int) -> Integers:
    """Return places of users whose rounds are shown: by turns the best and the largest stakers."""
    users = np.arange(len(columns["user"]))[:_MOST_USERS]
    staked = np.argsort(-columns["stake"][users], kind="stable")
    both = dict.fromkeys(np.stack([users, staked], axis=1).ravel().tolist())
    return np.sort(list(both)[: max(2, _MOST_VALUES // (rounds * (scores + 2)))])


def season_page(
    columns: Mapping[str, Any],
    sparks: Floats,
    rounds: Sequence[Mapping[str, Any]],
    links: Sequence[str],
    names: Sequence[str],
    places: Integers,
    series: Iterable[Floats],
    news: Sequence[tuple[str, str, str]],
    limits: Mapping[str, int],
) -> bytes:
    """Return the page of a season.

    Args:
        columns: the leaderboard.
        sparks: (S, U) sums of the main score over parts of the season, in the leaderboard's order.
        rounds: (R,) what is known of each round.
        links: (R,) the address of each round's report, or "".
        names: (K,) of the scores, the main one first.
        places: (P,) on the leaderboard, of the users whose rounds are shown.
        series: of each round (K + 2, P): scores, rank and payout.
        news: of the last night: round, state, why.
        limits: of the definitions.
    """
    most, paid = slice(_MOST_USERS), any(one["rule"] for one in rounds)
    values = np.stack(list(series), axis=2).astype(np.float32)  # (K + 2, P, R)
    shown = [f"{names[0]}_{of}" for of in ("mean", "std", "stake_weighted")]
    shown += ["reputation", "season_score"]
    packed: dict[str, Any] = {name: pack.pack_decimals(columns[name][most], 5) for name in shown}
    for name in ("rounds", "staked_rounds"):
        packed[name] = pack.pack_decimals(columns[name][most], 0)
    for name in ("stake", *(("payout", "claimable", "debt") if paid else ())):
        packed[name] = pack.pack_floats(np.array(columns[name][most], np.float64))
    faults = [[one["round"], *fault] for one in reversed(rounds) for fault in one["faults"]]
    data = {
        "main": names[0],
        "limits": dict(limits),
        "all": len(columns["user"]),
        "users": pack.pack_texts(columns["user"][most]),
        "columns": packed,
        "sparks": pack.pack_decimals(np.cumsum(sparks[:, most], axis=0).T, 5),
        "rounds": [
            [*(one[of] for of in ("round", "day", "users", "staked", "corr", "quarantined")),
             *(float(one[of]) if of in one else None for of in ("earned", "burnt")), link]
            for one, link in zip(rounds, links, strict=True)
        ],
        "series": {
            "names": list(names),
            "rows": pack.pack_integers(places),
            "scores": [pack.pack_decimals(of, pack.decimals_for(of)) for of in values[:-2]],
            "rank": pack.pack_decimals(values[-2], 0),
            "payout": pack.pack_decimals(values[-1], 3) if paid else None,
        },
        "waiting": [[one, why] for one, state, why in news if state == "waiting"],
        "failed": [[one, why] for one, state, why in news if state == "failed"],
        "quarantined": faults[:_LISTED],
        "codes": {fault[2]: list(CODES.get(fault[2], ("", ""))) for fault in faults[:_LISTED]},
    }  # fmt: skip
    title = f"A season of {counted(len(rounds), 'round')}"
    return pack.build_page(title, "season.html", _SCRIPTS, data)
