"""Results on disk: report, verify, publish, pay, history."""

from pathlib import Path
from secrets import token_bytes
from typing import Annotated, Any

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import print_line, tell_result
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.rounds.rules import RULES

_RULE = f"One of {', '.join(RULES)}; or a JSON file, with one rule or a list of them."


def report(
    result: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="RESULT")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page; by default report.html in the folder."),
    ] = None,
    target: options.Target = None,
) -> None:
    """Write the result of score or evaluate as one HTML page to look at in a browser, offline."""
    from mmc_gpu.cli.terminal import say
    from mmc_gpu.files.results.page import result_page
    from mmc_gpu.files.results.receipt import REPORT
    from mmc_gpu.files.writing.replace import write_file

    path = output or result / REPORT
    if path.suffix.lower() not in (".html", ".htm"):  # such as a table that is named by mistake
        raise ValueError(f"{path}: a page is written as .html")
    write_file(path, result_page(result, target))
    say(f"open {path} in a browser")
    tell_result(page=str(path))


def verify(
    result: Annotated[Path, typer.Argument(help="Folder of a result, or a published one.")],
    round_: Annotated[Path | None, typer.Argument(metavar="[ROUND]", parser=options.place)] = None,
    user: Annotated[str | None, typer.Option(help="Check this user's score alone.")] = None,
    submission: Annotated[Path | None, typer.Option(help="What this user submitted.")] = None,
    proof: Annotated[list[Path] | None, typer.Option(help="What the user got of them.")] = None,
    commit: Annotated[Path | None, typer.Option(help="Folder of a commitment.")] = None,
    engine: options.Engine = "auto",
) -> None:
    """Score a round again, as its receipt says, on any engine, and compare every bit.

    What cannot be computed again is named: "not checked". If the round only has another form now,
    packed or as CSV, and the scores have the same bits, they are verified, with a note.

    A user needs no ROUND: verify PUBLIC --user NAME --submission FILE.
    """
    from mmc_gpu.cli.terminal import progress_bars, say, show_notes
    from mmc_gpu.files.results.own_score import verify as own
    from mmc_gpu.files.results.own_score import verify_in_result
    from mmc_gpu.files.results.verify import verify_result

    if user is None:
        options.refuse("needs a --user", submission=submission, proof=proof, commit=commit)
    sealed: Any = {"proof": proof or (), "commit": commit, "engine": engine}
    with progress_bars() as progress:
        if round_ is not None and user is None:
            verdict = verify_result(result, round_, engine, progress=progress)
        elif round_ is not None and user is not None:
            verdict = verify_in_result(result, round_, user, submission, **sealed)
        elif user is not None and submission is not None:
            verdict = own(result, user, submission, **sealed)
        else:
            raise typer.BadParameter("name a ROUND, or a --user and a --submission")
    tell_result(verified=not verdict.differences, **vars(verdict))
    show_notes(verdict.notes)
    for difference in verdict.differences:
        say(difference, "red")
    if verdict.differences:
        say(f"not verified: {result}", "bold red")
        raise typer.Exit(options.MISMATCH)
    print_line(
        f"verified: {counted(verdict.users, 'user')}, digest {verdict.digest[:16]},"
        f" engine {verdict.engine}"
    )


def publish(
    result: Annotated[Path, typer.Argument(help="Folder of a result.", parser=options.place)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for a web server.")],
    round_: Annotated[Path | None, typer.Argument(metavar="[ROUND]", parser=options.place)] = None,
    every_draw: Annotated[bool, typer.Option(help="Publish the meta model of each draw.")] = False,
    disclose: Annotated[bool, typer.Option(help="Accept that stakers can be rebuilt.")] = False,
    private: Annotated[bool, typer.Option(help="Scores and stakes as proofs, one a user.")] = False,
    commit: Annotated[bool, typer.Option(help="Seal a ROUND that has no targets yet.")] = False,
    key: Annotated[Path | None, typer.Option(help="Of salts; else made in OUTPUT.private.")] = None,
    missing: options.Missing = "error",
    blend: options.Blend = "raw",
    tournament: options.Tournament = None,
    engine: options.Engine = "auto",
) -> None:
    """Publish what everybody needs to check their own score; say first what it discloses.

    `publish RESULT ROUND`, or `publish ROUND --commit`. With --private or --commit, OUTPUT.private
    has the key, and proofs/NAME.json for each user.
    """
    from mmc_gpu.cli.terminal import say
    from mmc_gpu.files.formats.places import exists
    from mmc_gpu.files.formats.source import read_source
    from mmc_gpu.files.results.publication import commitment, publication
    from mmc_gpu.files.writing.replace import failing

    if commit != (round_ is None):
        raise typer.BadParameter("publish RESULT ROUND, or publish ROUND --commit")
    if commit:
        of_result = {"every_draw": every_draw, "private": private, "engine": engine != "auto"}
        options.refuse("a commitment has no scores", **of_result)
    else:
        read = {"missing": missing != "error", "blend": blend != "raw", "tournament": tournament}
        options.refuse("needs --commit (a key: or --private)", **read, key=not private and key)
    kept = output.absolute().with_name(f"{output.name}.private")
    salt = own = b""
    if private or commit:
        file = (key or kept / "key").resolve()  # others link their keys
        own = b"" if exists(file) else token_bytes(32)
        salt = own or read_source(file).data
        if len(salt) < 32:
            raise typer.BadParameter(f"{file}: a key has at least 32 bytes, not {len(salt)}")
    if round_ is not None:
        made = publication(result, round_, engine, every_draw, salt)
    else:
        made = commitment(result, salt, missing=missing, blend=blend, tournament=tournament)
    found, most = made.exposed.values(), dict(list(made.exposed.items())[:10])
    above = {f"{level}": sum(each > level for each in found) for level in (0.5, 0.8, 0.95)}
    tell_result(above=above, most_exposed=most)
    counts = ", ".join(f"{n:,} above {level}" for level, n in above.items()) + f" of {len(found):,}"
    if most:
        print_line("\n".join(f"{each:.3f}  {user}" for user, each in most.items()))
        print_line(f"stakers that can be rebuilt: {counts}")
    if most and not disclose and (above["0.8"] or len(found) < 6):
        raise RoundError("publish-discloses", f"stakers that can be rebuilt: {counts}")
    with failing(kept):
        if salt:
            kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        if own:
            file.touch(0o600)
            file.write_bytes(own)
    root = made.write(output, kept / "proofs")
    tell_result(public=str(output), root=root)
    if salt:
        say(f"{kept / 'proofs'} has a file for each user, and for nobody else")
    print_line(f"published: {output}, root {root}")


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
    from mmc_gpu.files.results.payouts import ScoreTable, read_rules, rule_for
    from mmc_gpu.files.results.receipt import read_round_receipt
    from mmc_gpu.files.writing.replace import write_file
    from mmc_gpu.files.writing.tables import TABLES

    if output is not None and (format_ := output.suffix.lower()) not in (".csv", ".parquet"):
        raise ValueError(f"{output}: payouts are written as .csv or .parquet")
    receipt = read_round_receipt(result)
    table, number = ScoreTable.read(receipt), receipt.title.number if receipt.title else None
    paid = []
    for named in (rule, *([] if against is None else [against])):
        if (one := rule_for(read_rules(named), number)) is None:
            raise RoundError("rule-invalid", f"{result}: {named} does not hold for round {number}")
        paid.append(table.pay(one, factor, target))
    needless = factor is not None and all(one.rule.factor is not None for one in paid)
    options.refuse("the rule has its own", factor=needless)
    columns = paid[0].columns(*paid[1:])
    if output is not None:
        write_file(output, TABLES[format_[1:]](columns))
    if receipt.options.get("partial"):
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


def history(
    results: Annotated[Path, typer.Argument(help="Folder of results.", metavar="RESULTS")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the history.")],
    rule: Annotated[list[str] | None, typer.Option(help="A payout rule: see pay; or more.")] = None,
    factor: options.Factor = None,
    target: options.Target = None,
    score: Annotated[str, typer.Option(help="Reputation and season score are of this.")] = "mmc",
    window: Annotated[int, typer.Option(help="Last rounds that make a reputation.", min=1)] = 260,
    least_rounds: Annotated[int, typer.Option(help="Rounds a season score needs.", min=1)] = 20,
    least_stake: Annotated[float, typer.Option(help="NMR at stake in each.", min=0)] = 1.0,
    owners: Annotated[Path | None, typer.Option(help="CSV of models: user, owner.")] = None,
) -> None:
    """Gather all results: rows, leaderboard, page; the same command again adds what is new."""
    from mmc_gpu.cli.terminal import progress_bars, say
    from mmc_gpu.files.formats.source import read_source
    from mmc_gpu.files.formats.table import read_table
    from mmc_gpu.files.results.history import history as update
    from mmc_gpu.rounds.standings import Definitions

    owned = None
    if owners is not None:
        table = read_table(read_source(owners), text=("user", "owner"))
        if missing := {"user", "owner"} - {*table.column_names}:
            raise RoundError("column-missing", f"{owners}: no column {shown(missing)}")
        pairs = {*zip(*(table.column(n).to_pylist() for n in ("user", "owner")), strict=True)}
        if len(owned := dict(pairs)) < len(pairs):
            raise RoundError("user-duplicate", f"{owners}: a user with two owners")
    limits = Definitions(score, window, least_rounds, least_stake, owned)
    with progress_bars() as progress:
        season = update(results, output, rules=rule or (), factor=factor, target=target,
                        definitions=limits, progress=progress)  # fmt: skip
    for folder, error in season.failed.items():
        say(f"failed: {folder}: {error}", "red")
    if season.older:
        say(f"note: {shown(season.older)}: an earlier day's result; a later one counts", "yellow")
    if season.gone:
        say(f"note: {shown(season.gone)}: the result is gone; what was taken in counts", "yellow")
    if rule and (unruled := sum(not one["rule"] for one in season.rounds)):
        say(f"note: no rule holds for {counted(unruled, 'round')}, which pay nothing", "yellow")
    if unpaid := sum(one["unpaid"] for one in season.rounds):
        say(f"note: {counted(unpaid, 'stake')} not paid, for want of a score", "yellow")
    rounds, users = len(season.rounds), len(season.columns["user"])
    found = {"added": season.added, "unchanged": season.unchanged, "failed": list(season.failed)}
    found |= {"older": season.older, "gone": season.gone}
    tell_result(history=str(output), rounds=rounds, users=users, **found)
    print_line(
        f"{counted(rounds, 'round')} and {counted(users, 'user')} in {output}:"
        f" {counted(season.added, 'result')} added, {season.unchanged:,} unchanged"
    )
    say(f"open {output / 'index.html'} in a browser")
    if season.failed:
        raise typer.Exit(options.FAILED)
