"""What a round pays: pay."""

from pathlib import Path
from typing import Annotated

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import print_line, tell_result
from mmc_gpu.rounds.rules import RULES

_RULE = f"One of {', '.join(RULES)}; or a JSON file, with one rule or a list of them."


def pay(
    result: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="RESULT")],
    rule: Annotated[str, typer.Option(help=_RULE)],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="CSV or Parquet.")] = None,
    against: Annotated[str | None, typer.Option(help="Another rule, to compare with.")] = None,
    factor: options.Factor = None,
    target: Annotated[str | None, typer.Option(help="Where the rule names none.")] = None,
    top: options.Top = 10,
) -> None:
    """Say what each user of a result is paid by a rule, in exact NMR to 18 places.

    A burn that is carried as debt needs earlier rounds: see history.
    """
    from mmc_gpu.cli.terminal import say, show_table
    from mmc_gpu.errors import RoundError, shown
    from mmc_gpu.files.results.payouts import ScoreTable, read_rules, rule_for
    from mmc_gpu.files.results.receipt import read_round_receipt
    from mmc_gpu.files.writing.replace import write_file
    from mmc_gpu.files.writing.tables import TABLES

    if output is not None and output.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{output}: payouts are written as .csv or .parquet")
    receipt = read_round_receipt(result)
    table, number = ScoreTable.read(receipt), receipt.title.number if receipt.title else None
    paid = []
    for named in filter(None, (rule, against)):
        if (one := rule_for(read_rules(named), number)) is None:
            raise RoundError("rule-invalid", f"{result}: {named} does not hold for round {number}")
        paid.append(table.pay(one, factor, target))
    columns = paid[0].columns(*paid[1:])
    if output is not None:
        write_file(output, TABLES[output.suffix[1:]](columns))
    if receipt.partial:
        say(f"note: {result} is resolved in part: its payouts are not the last ones", "yellow")
    if unpaid := [user for one in paid for user in one.unpaid()]:
        say(f"not paid, for want of a score: {shown(unpaid, 10)}", "yellow")
    texts = {"user": columns["user"][:top]}
    texts["stake"] = [f"{of:,.2f}" for of in columns["stake"][:top]]
    for name in ("weighted", "payout", *(("against payout", "difference") if against else ())):
        texts[name] = ["-" if cell is None else f"{cell:+.6f}" for cell in columns[name][:top]]
    show_table(texts, "user", max(0, len(table.users) - top))
    totals = [{name: f"{of:f}" for name, of in one.totals().items()} for one in paid]
    tell_result(rules=[one.rule.as_dict() for one in paid], totals=totals)
    for each, sums in zip(paid, totals, strict=True):
        money = ", ".join(f"{name} {of}" for name, of in sums.items() if name != "staked")
        print_line(f"{each.rule.name}, on {float(sums['staked']):,.2f} NMR: {money}")
