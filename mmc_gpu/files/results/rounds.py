"""Rounds on disk: the scores, who was quarantined, and a receipt that anybody can verify."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.files.results.folder import columns_of, source_of, write_result
from mmc_gpu.files.results.outline import (
    QUARANTINE,
    further_notes,
    quarantine_columns,
    quarantined_of,
)
from mmc_gpu.files.results.receipt import (
    RECEIPT,
    REPORT,
    ROUND,
    RoundReceipt,
    as_floats,
    read_round_receipt,
    refusing,
)
from mmc_gpu.files.results.receipt import make_receipt as make_any_receipt
from mmc_gpu.files.writing.replace import DAYS, Write
from mmc_gpu.files.writing.tables import (
    TABLES,
    as_table,
    csv_bytes,
    json_bytes,
    json_value,
    table_rows,
)
from mmc_gpu.rounds.draws import draw_counts
from mmc_gpu.rounds.further import FurtherScores
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.stakes import take_stakes
from mmc_gpu.rounds.title import said

Format = Literal["parquet", "csv", "json"]
_DRAW_ROWS = 2**15  # users written at a time to draws.parquet

SCORE_FILES = tuple(f"scores.{format_}" for format_ in get_args(Format))
"""The names of the table of scores, one a format; a result has one of them."""

DRAWS = "draws.parquet"

ROUND_FILES = (*SCORE_FILES, DRAWS, REPORT, QUARANTINE, RECEIPT, f"{DAYS}/")
"""All files that a result may have; writing a result replaces these and nothing else."""


def write_results(
    folder: Path,
    scores: Scores,
    inputs: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    format_: Format = "parquet",
    draws: bool = False,
    report: int | None = None,
    day: str | None = None,
) -> None:
    """Write scores, quarantine list and receipt: all of them, or the previous result stays.

    `options` are those of the run beside the method's (missing, on_error). `report` is the number
    of the target whose page is written, `day` the name under which the result is kept in days/,
    too.
    """
    tables: dict[str, Write] = {
        f"scores.{format_}": lambda file: file.write(scores_bytes(scores, format_)),
        QUARANTINE: lambda file: file.write(csv_bytes(quarantine_columns(scores.quarantined))),
    }
    page = None
    if report is not None:
        from mmc_gpu.report.rounds import round_page

        page = partial(round_page, scores, target=report)
    if draws:
        tables[DRAWS] = lambda file: _write_draws(scores, file)
    receipt = make_receipt(scores, inputs, options)
    write_result(folder, tables, receipt, page, ROUND_FILES, day)


def scores_bytes(scores: Scores, format_: str) -> bytes:
    """Return the table of scores as the bytes of a file; JSON says what round it is of."""
    columns = scores.columns()
    if format_ != "json":
        return TABLES[format_](columns)
    return json_bytes({**said(scores.title), "digest": scores.digest, "rows": table_rows(columns)})


def make_receipt(
    scores: Scores,
    inputs: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what was scored, how and with what; of scores in memory, the digests and versions."""
    run = {"inputs": list(inputs), "parameters": scores.method.parameters() | dict(options or {})}
    title = said(scores.title)
    result: dict[str, Any] = ({"title": title} if title else {}) | {
        "users": len(scores.users),
        "stakers": int(np.count_nonzero(scores.stakes)),
        "stocks": scores.stocks,
        "quarantined": len(scores.quarantined),
        "notes": list(scores.notes),
        "meta_model": [
            {
                "target": target,
                "corr": json_value(scores.full_meta_model_corr[number]),
                "corr_per_draw": [json_value(corr) for corr in scores.meta_model_corr[number]],
            }
            for number, target in enumerate(scores.targets)
        ],
        "draws_digest": scores.draws_digest,
        "scores_digest": scores.digest,
        "engine": scores.engine,
    }
    if scores.further is not None:
        faults = scores.further.faulted.items()
        result["further_scores"] = scores.further.asked
        result["further_digest"] = scores.further_digest
        result["further_faults"] = [[*fault, names] for fault, names in faults]
        if scores.further.ignored:
            result["further_notes"] = list(scores.further.ignored)
    return make_any_receipt(ROUND, run, result)


def _write_draws(scores: Scores, file: BinaryIO) -> None:
    """Write every user's MMC in every draw, users and targets in the order of the scores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = draw_columns(scores, 0, scores.order()[:0])
    types = [pa.string() if name in ("target", "user") else pa.float64() for name in names]
    schema = pa.schema(zip(names, types, strict=True))
    with pq.ParquetWriter(file, schema, write_page_checksum=True) as writer:
        for number in range(len(scores.targets)):
            order = scores.order(number)
            for start in range(0, len(order), _DRAW_ROWS):
                users = order[start : start + _DRAW_ROWS]
                writer.write_table(as_table(draw_columns(scores, number, users)))


def draw_columns(scores: Scores, number: int, users: Integers) -> dict[str, Any]:
    """Return the MMC of some users in every draw, on the target of that number, as columns."""
    several = len(scores.targets) > 1
    columns: dict[str, Any] = {"target": [scores.targets[number]] * len(users)} if several else {}
    columns["user"] = [scores.users[user] for user in users]
    draws = scores.draws_of(number, users).T
    return columns | {f"draw_{draw}": values for draw, values in enumerate(draws)}


def draws_table(scores: Scores) -> dict[str, Any]:
    """Return all columns of draws.parquet."""
    places = range(len(scores.targets))
    parts = [draw_columns(scores, number, scores.order(number)) for number in places]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def read_result(folder: Path) -> tuple[Scores, dict[str, Any]]:
    """Return what `write_results` has written to a folder: the scores and the receipt.

    Without draws.parquet the scores have no draws; their digest is the one in the receipt.

    Raises:
        RoundError: the folder has no receipt, or files that are not those of its receipt.
    """
    receipt = read_round_receipt(folder)
    with refusing(folder):
        return _scores(receipt), receipt.said


def _scores(receipt: RoundReceipt) -> Scores:
    method, targets = receipt.method, receipt.targets
    table, stakes = user_table(receipt)
    per_draw = None
    if DRAWS in receipt.files:
        draws = UserTable(columns_of(source_of(receipt, DRAWS)), targets, table.users)
        columns = [draws.values(f"draw_{draw}") for draw in range(method.draws)]
        per_draw = np.stack(columns, axis=-1)
    scores = Scores(
        method=method,
        engine=receipt.engine,
        users=table.users,
        stakes=stakes,
        targets=targets,
        stocks=receipt.stocks,
        mmc=table.values("mmc"),
        mmc_se=table.values("mmc_se"),
        corr=table.values("corr"),
        corr_with_meta_model=table.values("corr_with_meta_model")[0],
        per_draw=per_draw,
        meta_model_corr=receipt.meta_model_corr,
        full_meta_model_corr=receipt.full_meta_model_corr,
        counts=draw_counts(int(np.count_nonzero(stakes)), method.draws, method.sample, method.seed),
        filled=table.values("filled")[0].astype(np.int64),
        quarantined=quarantined_of(receipt),
        notes=receipt.notes,
        title=receipt.title,
        further=_further(receipt, table),
    )
    if scores.draws_digest != receipt.digests["draws"]:
        raise ValueError("its draws are not those of its scores' stakers")
    return scores


def user_table(receipt: RoundReceipt) -> tuple["UserTable", Floats]:
    """Return a result's table of scores, and the (U,) stakes of its users."""
    (name,) = [name for name in SCORE_FILES if name in receipt.files]
    table = UserTable(columns_of(source_of(receipt, name)), receipt.targets)
    stakes = table.values("stake")[0]
    if take_stakes(stakes, table.users).faults:
        raise ValueError("a stake that is no number, or out of range")
    return table, stakes


def _further(receipt: RoundReceipt, table: "UserTable") -> FurtherScores | None:
    if not receipt.further:
        return None
    first = table.names.index("filled") + 1
    names = [name for name in table.names[first:] if name not in ("rank_low", "rank_high")]
    values = {name: table.values(name) for name in names}
    return FurtherScores(receipt.further, values, *further_notes(receipt))


def fault_codes(faults: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the `further_faults` of a receipt, without what was found in words."""
    return [[target, user, code, names] for target, user, code, _, names in faults]


class UserTable:
    """A table with a row for each user and target, put into the canonical order of users."""

    def __init__(
        self, table: Mapping[str, Any], targets: list[str], users: list[str] | None = None
    ) -> None:
        names = [str(user) for user in table["user"]]
        if users is None:
            stakes = dict(zip(names, table["stake"], strict=True))
            users = sorted(stakes, key=lambda user: (stakes[user] == 0.0, user))
        self.users, self.names = users, list(table)
        self.shape = len(targets), len(users)
        places = {user: place for place, user in enumerate(users)}
        numbers = {target: number for number, target in enumerate(targets)}
        target = table.get("target", targets[:1] * len(names))
        at = [numbers[t] * len(users) + places[u] for t, u in zip(target, names, strict=True)]
        if sorted(at) != list(range(len(targets) * len(users))):
            raise ValueError(f"not one row for each of {len(users):,} users and target")
        self._order = np.argsort(at)
        self._table = table

    def values(self, name: str) -> Floats:
        """Return a column's numbers as (T, U)."""
        return as_floats(self._table[name])[self._order].reshape(self.shape)
