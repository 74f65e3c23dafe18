"""What has changed since a result was written: the options, the round, or the result itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.formats.table import split_suffix
from mmc_gpu.files.results.receipt import read_round_receipt
from mmc_gpu.files.results.rounds import ROUND_FILES
from mmc_gpu.files.rounds.packed import MANIFEST
from mmc_gpu.rounds.method import Method

_MOST = 10  # inputs that are named


def differences_of_files(
    result: Path,
    inputs: Sequence[Mapping[str, Any]],
    method: Method,
    options: Mapping[str, Any],
    further: Sequence[str] = (),
) -> list[str]:
    """Return why a result does not fit these inputs and options; nothing is scored. [] if it fits.

    `inputs` are the files of the round as they are now; `options` stand beside the method's in a
    receipt.
    """
    try:
        receipt = read_round_receipt(result)
    except RoundError as error:
        return [str(error)]
    if (receipt.method, receipt.options, receipt.further) != (method, options, list(further)):
        return ["it was scored with other options"]
    changed, form = changed_inputs(receipt.inputs, inputs)
    return changed_results(result, receipt.files) + changed + [form] * bool(form)


def changed_results(result: Path, expected: Mapping[str, str]) -> list[str]:
    """Return which files of a result are not those of its receipt: sha256 by name."""
    differences = []
    for name in sorted(set(expected) & set(ROUND_FILES)):
        try:
            if read_source(result / name).sha256 != expected[name]:
                differences.append(f"{name}: changed since the result was written")
        except RoundError as error:
            gone = error.code == "file-missing"
            reason = "gone since the result was written" if gone else f"cannot be read: {error}"
            differences.append(f"{name}: {reason}")
    return differences


def changed_inputs(
    before: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> tuple[list[str], str]:
    """Return which inputs changed, and which ones only have another form now: packed, or CSV."""
    was, now = ({entry["file"]: entry for entry in entries} for entries in (before, found))
    gone, new = was.keys() - now.keys(), now.keys() - was.keys()
    packed = (MANIFEST in was) != (MANIFEST in now)
    wide = any(map(_is_wide, was)) != any(map(_is_wide, now))

    def role(name: str) -> str:
        """Return what an input is: the same on both sides if only its form differs."""
        path = Path(name)
        if packed:
            return "round"
        if wide and (_is_wide(name) or path.parent.name == "submissions"):
            return "predictions"
        return (path.parent / split_suffix(path)[0]).as_posix()

    both = {role(name) for name in gone} & {role(name) for name in new}
    gone_form, new_form = ({n for n in names if role(n) in both} for names in (gone, new))
    changed = [name for name in was.keys() & now.keys() if was[name] != now[name]]
    reasons = dict.fromkeys(gone - gone_form, "not among the inputs any more")
    reasons |= dict.fromkeys(new - new_form, "a new input")
    reasons |= dict.fromkeys(changed, "changed since it was scored")
    differences = [f"{shown([name])[1:-1]}: {reason}" for name, reason in reasons.items()]
    if len(was) < len(before):
        differences.append("inputs: one stands twice in the receipt")
    form = f"inputs in another form: {shown(sorted(gone_form))}; now {shown(sorted(new_form))}"
    more = [f"inputs: {len(differences) - _MOST:,} more"] * (len(differences) > _MOST)
    return sorted(differences)[:_MOST] + more, form if both else ""


def _is_wide(name: str) -> bool:
    return split_suffix(Path(name))[0] == "predictions" == name.partition(".")[0]
