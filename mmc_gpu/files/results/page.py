"""The page of a result: of a scored round or of an evaluation, as the receipt says."""

from pathlib import Path

from mmc_gpu.files.results.eras import read_evaluation
from mmc_gpu.files.results.receipt import RoundReceipt, read_receipt, refusing
from mmc_gpu.files.results.rounds import read_result
from mmc_gpu.report.eras import evaluation_page
from mmc_gpu.report.rounds import round_page


def result_page(folder: Path, target: str | None = None) -> bytes:
    """Return the page of what `score -o` or `evaluate -o` has written, with this target first."""
    if isinstance(read_receipt(folder), RoundReceipt):
        scores, receipt = read_result(folder)
        number = scores.target_number(target)
        with refusing(folder):
            return round_page(scores, receipt, number)
    evaluation, receipt = read_evaluation(folder)
    first = evaluation.standing(target=target).target
    with refusing(folder):
        return evaluation_page(evaluation, receipt, first)
