"""What the page of a season shows: gathered here, drawn by season.js and person.js."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.errors import CODES, counted
from mmc_gpu.report import page
from mmc_gpu.rounds.standings import Read, Standings

_MOST_USERS, _MOST_VALUES, _LISTED = 20_000, 500_000, 200
"""At most: users on the leaderboard, their values in the rounds (2 MB), quarantined users."""


def followed(stakes: Any, rounds: int, scores: int) -> Integers:
    """Return places of users whose rounds are shown: by turns the best and the largest stakers."""
    users = np.arange(len(stakes))[:_MOST_USERS]
    by_stake = np.argsort(-stakes[users], kind="stable")
    both = dict.fromkeys(np.stack([users, by_stake], axis=1).ravel().tolist())
    return np.sort(list(both)[: max(2, _MOST_VALUES // (rounds * (scores + 2)))])


def season_page(
    made: Standings,
    columns: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]],
    read: Read,
    links: Sequence[str],
    news: Sequence[tuple[str, str, str]],
) -> bytes:
    """Return the page of a season.

    `columns` is the leaderboard of the standings, `read` returns the array of one of the (R,)
    rounds; (R,) links lead to their reports; news are round, state and why, of the last night.
    """
    main, limits, most = made.rules.score, made.rules, slice(_MOST_USERS)
    order, paid = made.order()[most], any(one["rule"] for one in rounds)
    shown = [f"{main}_{of}" for of in ("mean", "std", "stake_weighted")]
    shown += ["reputation", "season_score"]
    packed: dict[str, Any] = {name: page.decimals(columns[name][most], 5) for name in shown}
    for name in ("rounds", "staked_rounds"):
        packed[name] = page.decimals(columns[name][most], 0)
    for name in ("stake", *(("payout", "claimable", "debt") if paid else ())):
        packed[name] = page.floats(np.array(columns[name][most], np.float64))
    told = ([one["round"], *fault] for one in reversed(rounds) for fault in one["faults"])
    faults = list(islice(told, _LISTED))
    data = {
        "main": main,
        "limits": {"window": limits.window, "least_rounds": limits.least_rounds},
        "all": len(columns["user"]),
        "users": page.texts(columns["user"][most]),
        "columns": packed,
        "sparks": page.decimals(np.cumsum(made.sparks[:, order], axis=0).T, 5),
        "rounds": [
            [*(one[of] for of in ("round", "day", "users", "staked", "corr", "quarantined")),
             *(float(one[of]) if of in one else None for of in ("earned", "burnt")), link]
            for one, link in zip(rounds, links, strict=True)
        ],
        "series": _series(made, rounds, read, columns["stake"], order, paid),
        "waiting": [[one, why] for one, state, why in news if state == "waiting"],
        "failed": [[one, why] for one, state, why in news if state == "failed"],
        "quarantined": faults,
        "codes": {code: list(CODES.get(code, ("", ""))) for _, _, code in faults},
    }  # fmt: skip
    title = f"A season of {counted(len(rounds), 'round')}"
    return page.build_page(title, "season.html", ("lines.js", "person.js", "season.js"), data)


def _series(
    made: Standings, rounds: Any, read: Read, stakes: Any, order: Integers, paid: bool
) -> dict[str, Any]:
    """Return some users' scores, ranks and payouts in every round, packed."""
    names = sorted(made.names, key=lambda name: name != made.rules.score)
    places = followed(stakes, len(rounds), len(names))
    values = np.empty((len(names) + 2, len(places), len(rounds)))
    for at, one in enumerate(made.series(rounds, names, order[places], read)):
        values[:, :, at] = one
    return {
        "names": names,
        "rows": page.integers(places),
        "scores": [page.decimals(of, page.decimals_for(of)) for of in values[:-2]],
        "rank": page.decimals(values[-2], 0),
        "payout": page.decimals(values[-1], 3) if paid else None,
    }
