"""Markdown out of tables, and tables into Markdown files."""

from pathlib import Path

from benchmarks.publish.tables import Table

README = Path(__file__).parents[1].joinpath("README.md")


def markdown(table: Table) -> str:
    """Return a table in Markdown, numbers to the right."""
    lines = [table.header, ["---"] + ["---:"] * (len(table.header) - 1), *table.rows]
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return text + "".join(f"\n{note}\n" for note in table.notes)


def replaced(text: str, module: str, made: str) -> str:
    """Return a text with the section that a module makes replaced.

    Raises:
        ValueError: the text has no such section.
    """
    begin, end = f"<!-- from {module} -->\n", "<!-- until here -->\n"
    before, found, rest = text.partition(begin)
    if not found:
        raise ValueError(f"no section from {module}")
    return f"{before}{begin}{made}{end}{rest.partition(end)[2]}"
