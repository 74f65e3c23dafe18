"""What is said of a round's result without its table: who was left out, the digest, the notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmc_gpu.errors import remedies
from mmc_gpu.files.results.folder import fault_columns, source_of
from mmc_gpu.files.results.receipt import RoundReceipt, read_round_receipt, refusing
from mmc_gpu.files.writing.tables import table_rows
from mmc_gpu.rounds.further import FurtherFault, FurtherScores
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.scores import Scores, described
from mmc_gpu.rounds.title import RoundTitle, said

QUARANTINE = "quarantine.csv"


def quarantine_columns(faults: Sequence[Quarantined]) -> dict[str, list[Any]]:
    """Return the columns of the list of quarantined users, one row a user, to be sent to them.

    `remedy` is what the user can do, `remedy_operator` what whoever scores the round can do. A line
    is that of a CSV file; it is None where no single line is at fault.
    """
    names = ("user", "file", "line", "code", "detail")
    return {name: [getattr(fault, name) for fault in faults] for name in names} | {
        "remedy": [remedies(fault.code).user for fault in faults],
        "remedy_operator": [remedies(fault.code).operator for fault in faults],
    }


def quarantined_of(receipt: RoundReceipt) -> tuple[Quarantined, ...]:
    """Return who was left out of a result."""
    return listed_faults(fault_columns(source_of(receipt, QUARANTINE)))


def further_notes(receipt: RoundReceipt) -> tuple[dict[FurtherFault, list[str]], tuple[str, ...]]:
    """Return `faulted` and `ignored` of the further scores; see `FurtherScores`."""
    faults = receipt.said["further_faults"] if receipt.further else ()
    faulted = {FurtherFault(*map(str, fault)): list(map(str, names)) for *fault, names in faults}
    return faulted, tuple(map(str, receipt.said.get("further_notes", ())))


def listed_faults(columns: Mapping[str, Any]) -> tuple[Quarantined, ...]:
    """Return the faults in the columns of a list of quarantined users; () without columns."""
    names = [name for name in Quarantined._fields if name in columns]  # older lists have fewer
    faults = (Quarantined(**row) for row in table_rows({name: columns[name] for name in names}))
    return tuple(of if of.line is None else of._replace(line=int(of.line)) for of in faults)


class Outline(NamedTuple):
    """What is said of a round's result: of its scores, or of what its receipt says of them."""

    title: RoundTitle | None  # of the round
    text: str  # what was scored and how, in one line
    digest: str  # of the scores
    # what was ignored, or accepted in spite of its form; which further scores are missing
    notes: tuple[str, ...]
    quarantined: tuple[Quarantined, ...]  # who was not scored, and why

    @classmethod
    def of(cls, scores: Scores) -> "Outline":
        """Return what is said of scores."""
        notes = scores.notes + (() if scores.further is None else scores.further.notes())
        return cls(scores.title, scores.describe(), scores.digest, notes, scores.quarantined)

    @classmethod
    def read(cls, folder: Path) -> "Outline":
        """Return what is said of a result; its scores are not read.

        Raises:
            RoundError: the folder has no receipt, or another list of quarantined users.
        """
        receipt = read_round_receipt(folder)
        with refusing(folder):
            counts = receipt.said["users"], receipt.said["stakers"], receipt.stocks
            faults = quarantined_of(receipt)
            text = described(*counts, receipt.method, receipt.engine, len(faults))
            further = FurtherScores(receipt.further, {}, *further_notes(receipt)).notes()
            notes, digest = receipt.notes + further, receipt.digests["scores"]
            return cls(receipt.title, text, digest, notes, faults)

    def said(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        rows = table_rows(quarantine_columns(self.quarantined))
        own = {"text": self.text, "digest": self.digest, "notes": list(self.notes)}
        return said(self.title) | own | {"quarantined": rows}
