"""Fill benchmarks/README.md, README.md's figures and the plots from results.

`python -m benchmarks.publish.report` does so from the newest full results; text outside of
the markers is kept.
"""

import re
from typing import Any

from benchmarks.publish import headlines, scale
from benchmarks.publish.markdown import README, markdown
from benchmarks.publish.plots import plot
from benchmarks.publish.results import newest
from benchmarks.publish.tables import tables

_BLOCK = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


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


def write(results: dict[str, Any]) -> None:
    """Write README's tables and the plots anew."""
    README.write_text(filled(README.read_text("utf-8"), results), "utf-8")
    plot(results)
    scale.write()
    headlines.write()


if __name__ == "__main__":
    found = newest()
    if found is None:
        raise SystemExit("no full results in benchmarks/results: run python -m benchmarks")
    write(found)
