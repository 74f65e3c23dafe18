"""Fill benchmarks/README.md, README.md's figures and the plots from results.

`python -m benchmarks.report` does so from the newest full results; text outside of the markers is
kept.
"""

import re
from pathlib import Path
from typing import Any

from benchmarks.plots import plot
from benchmarks.results import newest
from benchmarks.tables import Table, tables

README = Path(__file__).with_name("README.md")
_BLOCK = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def markdown(table: Table) -> str:
    """Return a table in Markdown, numbers to the right."""
    lines = [table.header, ["---"] + ["---:"] * (len(table.header) - 1), *table.rows]
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return text + "".join(f"\n{note}\n" for note in table.notes)


def filled(text: str, results: dict[str, Any]) -> str:
    """Return a text with each block between markers replaced by the table of that name.

    Raises:
        ValueError: a table has no block.
    """
    made = {name: markdown(table) for name, table in tables(results).items()}
    blocks = {name for _, name, _ in _BLOCK.findall(text)}
    if not blocks >= set(made):
        raise ValueError(f"blocks {sorted(blocks)} but tables {sorted(made)}")
    # a benchmark that the results are without leaves its block empty
    return _BLOCK.sub(lambda found: f"{found[1]}{made.get(found[2], '')}{found[3]}", text)


def replaced(text: str, module: str, made: str) -> str:
    """Return a text with the section that benchmarks/MODULE.py makes replaced.

    Raises:
        ValueError: the text has no such section.
    """
    begin, end = f"<!-- from benchmarks/{module}.py -->\n", "<!-- until here -->\n"
    before, found, rest = text.partition(begin)
    if not found:
        raise ValueError(f"no section from benchmarks/{module}.py")
    return f"{before}{begin}{made}{end}{rest.partition(end)[2]}"


def write(results: dict[str, Any]) -> None:
    """Write README's tables and the plots anew."""
    README.write_text(filled(README.read_text("utf-8"), results), "utf-8")
    plot(results)
    from benchmarks import headlines, scale  # take figures from these results

    scale.write()
    headlines.write()


if __name__ == "__main__":
    found = newest()
    if found is None:
        raise SystemExit("no full results in benchmarks/results: run python -m benchmarks")
    write(found)
