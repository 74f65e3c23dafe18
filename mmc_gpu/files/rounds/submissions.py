"""Files with one user each."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.engines.threads import thread_count
from mmc_gpu.errors import RoundError, counted
from mmc_gpu.files.formats.source import Limits, Source
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.rounds.folder import SHARED, RoundFolder, odd_header, user_of
from mmc_gpu.files.rounds.tournaments import TEXT
from mmc_gpu.inputs.beside import find_ids
from mmc_gpu.inputs.columns import as_arrow, numbers
from mmc_gpu.inputs.frames import has_ids, named_columns
from mmc_gpu.inputs.names import align, as_ids, first_ids
from mmc_gpu.inputs.options import Missing, Progress
from mmc_gpu.rounds.submissions import Submissions, collect

SUBMISSION = Limits(SHARED.max_rows, max_columns=1_000, max_bytes=2**30)


def read_submissions(
    files: RoundFolder, stocks: list[str], missing: Missing, progress: Progress
) -> Submissions:
    """Return the submissions of a folder with one file a user; several threads read them."""
    paths = files.submissions
    reader = SubmissionReader(files, stocks, missing)

    def read(path: Path) -> Numbers:
        return reader.read(files.source(path, SUBMISSION))

    with ThreadPoolExecutor(thread_count()) as pool, ExitStack() as stack:
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)  # where this is stopped
        waiting = {row: pool.submit(read, path) for row, path in enumerate(paths)}

        def column(row: int) -> Numbers:
            progress("read", row + 1, len(paths))
            return waiting.pop(row).result()

        names = [f"submissions/{path.name}" for path in paths]
        taken = collect([user_of(path) for path in paths], stocks, column, files=names)
    taken.notes += reader.notes()
    return taken


class SubmissionReader:
    """Reads files with one user each: id, prediction; from any number of threads."""

    def __init__(self, files: RoundFolder, stocks: list[str], missing: Missing) -> None:
        self._files, self._stocks, self._missing = files, stocks, missing
        self._known = as_arrow(stocks)
        self._odd: list[str] = []

    def notes(self) -> list[str]:
        """Return what was odd, and how often."""
        found = sorted(Counter(self._odd).items())
        return [f"{counted(times, 'submission')} {note}" for note, times in found]

    def read(self, source: Source) -> Numbers:
        """Return one user's predictions in the order of the stocks, NaN where absent."""
        place = f"submissions/{source.path.name}"
        if self._files.universe is not None:
            table = read_table(source, text=TEXT, limits=SUBMISSION)
            return self._files.universe.cleaned_file(table, self._stocks, place)
        table = read_table(source, text=("id", ""), limits=SUBMISSION)
        names = table.column_names
        if not has_ids(names) and (at := find_ids(names, table.column, labelled=False)) is not None:
            table = table.rename_columns([*names[:at], "id", *names[at + 1 :]])
        id_column, prediction = named_columns(table.column_names, ("id", "prediction"), place)
        self._odd += odd_header(table, ("id", "prediction"), place)
        values = numbers(table.column(prediction), place)
        ids = table.column(id_column).combine_chunks()
        if ids.equals(self._known):
            return values
        listed = as_ids(ids, place)
        aligned = align(listed, self._stocks, place)
        if aligned.extra:
            self._odd.append("with ids that have no target, which were ignored")
        absent = aligned.columns < 0
        if aligned.absent and self._missing == "error":
            where = first_ids(absent, self._stocks)
            raise RoundError("id-missing", f"{place}: ids missing: {where}")
        taken = values[aligned.columns]
        taken[absent] = np.nan
        return taken
