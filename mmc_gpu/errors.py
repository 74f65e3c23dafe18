"""What can be wrong with a round, by code: what it means and how to mend it.

Codes are stable: scripts may match them. A code has its remedy, so that no message lacks one; the
place that finds a fault adds what was found, with its numbers and its place. Longer than other
files: most of it is the table of codes.
"""

from difflib import get_close_matches
from math import inf
from numbers import Integral, Number, Real
from sys import float_info
from textwrap import fill, indent
from typing import Any, NamedTuple


class Code(NamedTuple):
    """One kind of fault."""

    meaning: str
    remedy: str


CODES: dict[str, Code] = {
    # predictions
    "prediction-missing": Code(
        "A prediction is NaN, null or empty.",
        "give every stock a number; a round's can be filled: missing='fill' (--missing fill)",
    ),
    "prediction-infinite": Code(
        "A prediction is infinite, or too large for a float64 (1e400).", "submit finite numbers"
    ),
    "prediction-range": Code(
        "A staked prediction lies outside [0, 1]: one such value can buy the raw meta model.",
        "scale the predictions into [0, 1], or score with blend='ranked' (--blend ranked)",
    ),
    "prediction-constant": Code(
        "All predictions of a submission are equal: it ranks nothing, so its score is undefined.",
        "submit at least two different values",
    ),
    # columns and values
    "value-text": Code(
        "A number is written as text that is no number: decimal comma, thousands separator, hex.",
        "write plain decimal numbers such as 0.125 or 1e-3",
    ),
    "column-type": Code(
        "A column holds no numbers: dates, categories, lists, structs, complex, Decimal, objects.",
        "give float64, float32, float16, bool, or integers up to 2**53",
    ),
    "column-missing": Code(
        "A column that must be there is not.",
        "targets: id and one column a target; stakes: user, stake; predictions: id and one column"
        " a user; a submission: id, prediction",
    ),
    "column-unknown": Code(
        "A column that is named is not in the data, or a pattern fits none.",
        "name columns as the data has them, or by patterns such as 'feature_*'",
    ),
    "column-ambiguous": Code(
        "More than one column could be the one that is needed.",
        "keep one column of that name, in any case",
    ),
    "data-type": Code(
        "Something is given that is neither a table nor an array, or nothing is.",
        "give a frame of pandas, polars or Arrow, or an array; of a Series make a frame with"
        " to_frame(), of a dict with DataFrame(), of a folder a round with open_round()",
    ),
    "column-name": Code(
        "A column's name is a list or a dict, or cannot be written as UTF-8, for it has half of a"
        " surrogate pair.",
        "rename the column",
    ),
    "header-duplicate": Code(
        "Two columns have the same name, if names are written as text: 1 and '1' too.",
        "give every column a name of its own",
    ),
    # ids
    "id-null": Code("An id is null or empty.", "give every row an id"),
    "id-duplicate": Code(
        "An id stands in more than one row.",
        "keep one row for each id; pivot a long table: frame.pivot(index='id', columns='user',"
        " values='prediction')",
    ),
    "id-missing": Code(
        "Ids of the round are absent from a submission.",
        "predict every stock, or score with missing='fill' (--missing fill; up to 20 % of the ids)",
    ),
    "id-other-round": Code(
        "More than 20 % of the round's ids are absent.",
        "is this another round's file? predictions and targets must be of the same round",
    ),
    "id-characters": Code(
        "An id has white space at its ends, control or zero-width characters.",
        "write ids exactly as the round lists them",
    ),
    "id-mismatch": Code(
        "Ids differ from the round's only by case, white space or invisible characters.",
        "write ids exactly as the round lists them",
    ),
    "id-order": Code("Ids do not ascend.", "sort by them: data.sort_index()"),
    "id-type": Code(
        "Ids are neither text nor integers.",
        "give ids as text, or as integers (taken as decimal text)",
    ),
    "id-ambiguous": Code(
        "Ids stand both in the frame's index and in a column.",
        "keep one: drop the id column, or reset the index",
    ),
    # users and stakes
    "user-name": Code(
        "A user name is empty, longer than 128 characters, not NFC, or not printable.",
        "use printable characters in Unicode normal form C, at most 128",
    ),
    "user-duplicate": Code("Two submissions have the same user.", "keep one submission a user"),
    "stake-invalid": Code(
        "A stake is negative, NaN, infinite, or neither 0 nor within [1e-18, 1e15] NMR.",
        "give each user's NMR at stake as a number up to 1e15, 0 for none",
    ),
    "stake-user": Code(
        "A staked user has no submission, and another user who has one is called the same but for"
        " case or white space.",
        "write the name in the stakes as the submission has it, or take that stake away",
    ),
    "stake-none": Code(
        "Nobody has a stake, so there is no meta model.",
        "give at least one submission a stake above 0",
    ),
    # targets and shapes
    "target-missing": Code(
        "A target is NaN or null.",
        "give every stock of the round a target, and leave out the stocks that have none",
    ),
    "target-waiting": Code(
        "The targets of a round are not all there yet.",
        "wait until they are resolved, or score what is resolved: --partial (partial=True)",
    ),
    "target-infinite": Code("A target is infinite.", "give finite targets"),
    "target-constant": Code(
        "All targets are equal: nothing can be scored on them.",
        "give a target with at least two different values",
    ),
    "series-infinite": Code(
        "A meta model, benchmark, feature, neutralizer or sample weight is infinite.",
        "give finite numbers",
    ),
    "meta-model-constant": Code(
        "All values of a meta model or benchmark are equal: nothing can be compared with it.",
        "give at least two different values",
    ),
    "ends-overlap": Code(
        "The top and the bottom that are to be scored have stocks in common.",
        "ask for fewer: top_bottom may be half of the stocks at most",
    ),
    "score-undefined": Code(
        "A score compares values that are all equal: targets of a top and bottom, or what"
        " neutralization has left of a submission.",
        "score more stocks, or neutralize to fewer features",
    ),
    "round-size": Code(
        "A round has fewer than 3 stocks, more than 1,000,000, or no submission.",
        "score at least one submission over 3 to 1,000,000 stocks",
    ),
    "array-shape": Code(
        "Arrays do not fit each other.",
        "predictions are (stocks, users), stakes (users,), targets (stocks,); ids= and users= name"
        " the rows and columns; for evaluate, an array has a number for each row of the data",
    ),
    "round-empty": Code(
        "Every submission was quarantined, so there is nothing to score.",
        "mend them; mmc-gpu check says what is wrong with each",
    ),
    # eras
    "era-missing": Code("A row has no era.", "give every row an era"),
    "era-type": Code(
        "Eras are neither text, integers nor dates.",
        "name eras by text, integers or dates, of at most 128 characters",
    ),
    "era-spelling": Code(
        "One era is spelled in two ways, such as 0012 and 12.", "spell each era in one way"
    ),
    "era-order": Code(
        "A Parquet file is not sorted by era, so that a cluster cannot read it era by era.",
        "sort the file by era, numbers in names as numbers (era9 before era10), or evaluate it"
        " without a cluster",
    ),
    "era-ids": Code(
        "Two successive eras share too few ids to be compared, or have none.",
        "give ids that stay with a stock from era to era, or leave the metric out",
    ),
    "era-size": Code(
        "An era has fewer than 3 rows, or fewer than 3 with a target: their order says nothing.",
        "give every era at least 3 stocks with a target, or choose eras: --eras",
    ),
    "era-unknown": Code(
        "An era, or a data type, that is asked for is not in the data.",
        "choose eras that are there: --eras FIRST:LAST, or last:200; --data-type validation",
    ),
    "join-ids": Code(
        "Two files that are to be joined share fewer than half of their ids.",
        "give files of the same stocks and eras, with ids that are written alike",
    ),
    "series-missing": Code(
        "A meta model, benchmark, feature or weight is missing in a whole era or round.",
        "give its values; nothing, if it did not exist then",
    ),
    # files
    "round-layout": Code(
        "A folder is not laid out as a round.",
        "a round is a folder with targets, stakes, and predictions or submissions/, each as"
        " Parquet or CSV",
    ),
    "file-missing": Code("A file or folder does not exist.", "check the path"),
    "file-regular": Code(
        "A path is a symbolic link, a pipe, a device or a folder where a file is expected.",
        "put the file itself there",
    ),
    "file-unreadable": Code(
        "A file cannot be opened or read.", "check its permissions, and its disk"
    ),
    "file-format": Code(
        "A file's format is not read: pickles, joblib, torch and .npy are refused.",
        "write Parquet or CSV",
    ),
    "file-empty": Code("A file holds no rows.", "write the header and one row a stock"),
    "file-encoding": Code("A text is not UTF-8.", "save it as UTF-8"),
    "file-separator": Code(
        "A CSV file's fields are not separated by commas.",
        "write commas between the fields, and points in decimal numbers",
    ),
    "row-width": Code(
        "A CSV row has a field too many or too few.", "give every row as many fields as the header"
    ),
    "file-damaged": Code(
        "A file is truncated, has a wrong magic or checksum, or changed while it was read.",
        "copy or download the file again",
    ),
    "file-size": Code(
        "A file unpacks to more rows, columns or bytes than a round can have.",
        "keep to the limits listed in mmc_gpu/files/README.md",
    ),
    "output-failed": Code(
        "The results could not be written; a previous result is still whole.",
        "free space or choose another folder with -o",
    ),
    "output-foreign": Code(
        "The output folder holds files that are not results, which writing would remove.",
        "choose an empty or new folder with -o",
    ),
    "worker-failed": Code(
        "A block failed three times on the workers of a cluster.",
        "see what the block's error says, and Ray's logs; a worker that dies may lack memory",
    ),
    "shards-missing": Code(
        "Blocks of a round are missing: not all shards have run to their end.",
        "run every shard, then merge again",
    ),
    "shards-differ": Code(
        "A folder holds shards of another round, or of other options.",
        "give all shards the same options, or write into another folder",
    ),
    "receipt-invalid": Code(
        "A result has no receipt, one that cannot be read, or one of another round.",
        "name a folder that mmc-gpu score -o, evaluate -o or publish -o has written",
    ),
    "proof-invalid": Code(
        "A user's proof is lacking, cannot be read, or is of another user or result.",
        "give the file of proofs/ that the operator has sent to this user: --proof",
    ),
    "publish-discloses": Code(
        "What is to be published shows the ranks of a staker, or there are fewer than 6 stakers.",
        "leave --every-draw out if it was given; else publish nothing, or accept it: --disclose",
    ),
    "rule-invalid": Code(
        "A payout rule is unknown, cannot be read, or does not fit the round.",
        "name a rule that the help of mmc-gpu pay lists, or a JSON file with one that holds",
    ),
    "score-absent": Code(
        "A payout rule pays a score that the result does not have.", "compute it: --score NAME"
    ),
}


class Remedies(NamedTuple):
    """What to do about a quarantined user: they themselves, and whoever scores the round."""

    user: str
    operator: str


_NOT_THEIRS = "nothing: the fault is not yours"

_REMEDIES = {
    "prediction-missing": Remedies("give every stock a number", "or fill gaps: --missing fill"),
    "prediction-range": Remedies(
        "scale the predictions into [0, 1]", "or blend everybody's ranks: --blend ranked"
    ),
    "id-missing": Remedies("predict every stock of the round", "or fill gaps: --missing fill"),
    "user-name": Remedies(_NOT_THEIRS, "give the file, or the column, the user's name"),
    "user-duplicate": Remedies(
        "say which submission counts", "keep the file that counts, and move the others away"
    ),
    "stake-invalid": Remedies(_NOT_THEIRS, "mend the stake in the list of stakes"),
    "stake-user": Remedies(_NOT_THEIRS, "mend the name in the list of stakes"),
    "file-regular": Remedies(_NOT_THEIRS, "put the file itself there, no link to it"),
    "file-unreadable": Remedies(_NOT_THEIRS, "check the file's permissions, and its disk"),
    "file-damaged": Remedies("submit the file again", "copy or download the file again"),
}
"""Codes where user and operator can do something else than `CODES` says to whoever reads it."""


def remedies(code: str) -> Remedies:
    """Return what the two can do about a fault of a submission."""
    waiting = "send the user this row, and score again once the file is mended"
    return _REMEDIES.get(code) or Remedies(CODES[code].remedy, waiting)


def explained(code: str, width: int | None = None) -> str:
    """Return a code, what it means and how to mend it, in lines of that width; by default of 74.

    Raises:
        ValueError: there is no such code; the message names the nearest ones.
    """
    if code not in CODES:
        nearest = ", ".join(get_close_matches(code, CODES, cutoff=0.4))
        hint = f"did you mean {nearest}?" if nearest else "mmc-gpu explain lists all"
        raise ValueError(f"no error has the code {code!a}; {hint}")
    texts = (CODES[code].meaning, f"Remedy: {CODES[code].remedy}.")
    return "\n".join([code, *(indent(fill(text, width or 74), "  ") for text in texts)])


WAITING = "target-waiting"
"""The code of a round that is no failure: it is scored when its targets come."""


class RoundError(ValueError):
    """An input that cannot be scored: its code, what was found where, and the remedy.

    Attributes:
        code: a key of `CODES`.
        detail: what was found, with its numbers and its place.
        user: the one user whose submission has the fault; None if others are concerned, or unknown.
        quarantined: the faults of all users, where nobody is left to be scored.
    """

    quarantined: tuple[Any, ...] = ()

    def __init__(self, code: str, detail: str, user: str | None = None) -> None:
        """Remember the code and what was found."""
        self.code = code
        self.detail = detail
        self.user = user
        super().__init__(code, detail)

    def __str__(self) -> str:
        """Return the message: detail, remedy, code."""
        return f"{self.detail}; {CODES[self.code].remedy} [{self.code}]"


class EngineUnavailable(RuntimeError):
    """A named engine that cannot run here; the message says what to install."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 user" or "2,000 users": a number with its noun, in singular or plural."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def as_text(value: object) -> str:
    """Return a value of any type as text for a message."""
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"a number {type_of(value)}, of more than 4,300 digits"


def type_of(value: object) -> str:
    """Return "of type int": how messages name the type of a value."""
    return f"of type {type(value).__name__}"


def as_given(value: object) -> str:
    """Return an option's value for a message: text quoted, numbers, None; others by their type."""
    simple = value is None or isinstance(value, str | Number)
    return shown([value]) if simple else f"a value {type_of(value)}"


def real(name: str, value: Any, over: float = -inf, most: float = float_info.max) -> float:
    """Return an option's number, of any type, as Python's float; ValueError where it is none."""
    number = isinstance(value, Real) and type(value).__name__ != "timedelta64"
    if number and over < value <= most:
        return float(value)
    limits = f" above {over:g}" * (over > -inf) + f" and at most {most:g}" * (most == 1)
    raise ValueError(f"{name} must be a number{limits}, not {as_given(value)}")


def is_integer(value: object) -> bool:
    """Return whether a value is a whole number: no bool, and no duration, which NumPy counts."""
    odd = isinstance(value, bool) or type(value).__name__ == "timedelta64"
    return isinstance(value, Integral) and not odd


def whole(name: str, value: Any, least: int = 1, most: float = inf) -> int:
    """Return an option's whole number, of any type, as Python's; ValueError where it is none."""
    if is_integer(value) and least <= value <= most:
        return int(value)
    limits = f"of at least {least}" if most == inf else f"from {least} to {most:,}"
    raise ValueError(f"{name} must be a whole number {limits}, not {as_given(value)}")


def shown(values: object, most: int = 3) -> str:
    """Return the first values of a sequence for a message: `'a', 'b', 'c' and 17 more`.

    Text is quoted with escapes, so that no name can reach a terminal's control codes.
    """
    listed = list(values)  # type: ignore[call-overload]
    text = ", ".join(
        ascii(str(value))[:80] if isinstance(value, str) else as_text(value)
        for value in listed[:most]
    )
    return text if len(listed) <= most else f"{text} and {len(listed) - most:,} more"
