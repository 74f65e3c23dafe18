"""Publishing what everybody needs to check their own score, or a commitment to be kept to."""

from pathlib import Path
from secrets import token_bytes
from typing import Annotated

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import print_line, tell_result
from mmc_gpu.errors import RoundError


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
    from mmc_gpu.files.results.publication import commitment, publication

    if commit != (round_ is None) or (commit and (every_draw or private)):
        raise typer.BadParameter("publish RESULT ROUND, or publish ROUND --commit")
    kept = output.absolute().with_name(f"{output.name}.private")
    file, salt = key or kept / "key", b""
    if private or commit:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            file.touch(0o600)
            file.write_bytes(token_bytes(32))
        if len(salt := file.read_bytes()) < 32:
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
    root = made.write(output, kept / "proofs")
    tell_result(public=str(output), root=root)
    if salt:
        say(f"{kept / 'proofs'} has a file for each user, and for nobody else")
    print_line(f"published: {output}, root {root}")
