"""The tables of a run, made from its JSON alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.bench_metrics import MEMORY
from benchmarks.bench_parts import INSIDE
from benchmarks.bench_parts import READ as READ_ALL
from benchmarks.bench_start import BARE, READ, SCORE, SMALL
from benchmarks.peers.competitors import CLOSED_FORM
from benchmarks.publish.results import Row


@dataclass(frozen=True)
class Table:
    """Text in cells, and lines below it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: tuple[str, ...] = ()


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Return the tables of a run by name, without those of benchmarks that did not run."""
    return {name: table for name, make in _TABLES.items() if (table := make(results)).rows}


def _machine(results: dict[str, Any]) -> Table:
    machine, commit = results["machine"], results["commit"]
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    blas = [
        f"{pool['of']}: {pool['library']} {pool['version']}, {pool['kernel']} kernel,"
        f" {pool['threads']} threads"
        for pool in machine["blas"]
    ]
    rows = [
        ["date", results["date"]],
        ["commit", f"{commit['id'] or 'none'}{', changed since' if commit['dirty'] else ''}"],
        ["processor", f"{machine['cpu']}, {machine['cpu_model']}, {machine['cores']} cores used"],
        ["memory", memory],
        ["system", machine["system"]],
        ["BLAS", "; ".join(blas)],
        ["engines", ", ".join(machine["engines"])],
        ["versions", ", ".join(f"{name} {text}" for name, text in machine["versions"].items())],
        ["whole run", duration(results["seconds"])],
    ]
    rows += [[f"engine {name}", why] for name, why in machine["unavailable"].items()]
    if results["unset"]:
        rows.append(["unset for the run", ", ".join(results["unset"])])
    return Table("Machine", ["what", "this run"], rows)


def _peers(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "peers")
    sizes = sorted({row["case"]["users"] for row in rows})
    notes = tuple(
        f"≈ extrapolated: {name} was run on {row['extrapolated_from']} users; each costs the same."
        for name, row in {row["competitor"]: row for row in rows}.items()
        if row["extrapolated_from"]
    )

    def cell(found: Row) -> str:
        sign = "≈ " if found["extrapolated_from"] else ""
        time = f"{sign}{duration(found['median'])}"
        if found["competitor"] == found["against"]:
            return time
        return f"{time} ({compared(found['ratio'])})"

    return Table(
        "The same round, scored in every way there is, against NumPy's closed form",
        ["scored by", *(f"{users:,} users" for users in sizes)],
        _grid(rows, name_of, lambda row: row["case"]["users"], sizes, cell),
        notes,
    )


def _round(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "round")
    columns = sorted({(row["case"]["dtype"], name_of(row)) for row in rows}, reverse=True)

    def cell(row: Row) -> str:
        if row["competitor"] == CLOSED_FORM:
            return duration(row["median"])
        spread = f"{row['ratio_least']:.1f}-{row['ratio_greatest']:.1f}"
        return f"{duration(row['median'])}: {ratio(row['ratio'])} ({spread})"

    return Table(
        f"A round of {_shape(rows)} over every kind of data (times faster than the closed form)",
        ["data", *(f"{name}, {dtype}" for dtype, name in columns)],
        _grid(
            rows,
            lambda row: row["case"]["kind"],
            lambda row: (row["case"]["dtype"], name_of(row)),
            columns,
            cell,
        ),
        tuple(_slowest(rows, *column) for column in columns if column[1] != label(CLOSED_FORM)),
    )


def _slowest(rows: list[Row], dtype: str, name: str) -> str:
    """Return how much longer than uniform data the slowest kind takes."""
    seconds = {
        row["case"]["kind"]: row["median"]
        for row in rows
        if (row["case"]["dtype"], name_of(row)) == (dtype, name)
    }
    kind = max(seconds, key=seconds.__getitem__)
    times = seconds[kind] / seconds["uniform"]
    return f"{name}, {dtype}: no kind takes longer than {times:.2f} times uniform ({kind})."


def _growth(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "growth")
    names = list(dict.fromkeys(map(name_of, rows)))
    lines = []
    for part in dict.fromkeys(row["part"] for row in rows):
        grown = [row for row in rows if row["part"] == part]
        lines += _grid(
            grown,
            lambda row: f"{row['case'][row['part']]:,} {row['part']}",
            name_of,
            names,
            lambda row: duration(row["median"]),
        )
        fits = {label(fit["competitor"]): fit for fit in results["fits"] if fit["part"] == part}
        powers = [f"{fits[name]['exponent']:.2f}" if name in fits else "" for name in names]
        lines.append([f"*time grows as {part} to the power*", *powers])
    return Table("How the time grows", ["size", *names], lines)


def _parts(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "parts")
    dtypes = sorted({row["case"]["dtype"] for row in rows}, reverse=True)
    place = {(row["case"]["dtype"], row["competitor"], row["part"]): row for row in rows}

    def cells(dtype: str, part: str, name: str, yardstick: str) -> list[str]:
        time = place[dtype, name, part]["median"]
        if part == "yardstick":
            return [duration(time), "", ""]
        share = f"{time / place[dtype, name, 'round']['median']:.0%}" if part in INSIDE else ""
        least = place[dtype, yardstick, "yardstick"]["median"]
        return [duration(time), share, f"{time / least:.1f} x {yardstick}"]

    kinds = dict.fromkeys((row["part"], row["competitor"], row["against"]) for row in rows)
    lines = []
    for part, name, yardstick in kinds:
        title = f"*{name}*" if part == "yardstick" else f"{part}, {label(name)}"
        line = [cell for dtype in dtypes for cell in cells(dtype, part, name, yardstick)]
        lines.append([title, *line])
    speeds = []
    for dtype in dtypes:
        read = place[dtype, READ_ALL, "yardstick"]
        speeds.append(f"{dtype} {read['bytes'] / read['median'] / 1e9:.1f} GB/s")
    header = [text for dtype in dtypes for text in (dtype, "of the round", "against its yardstick")]
    return Table(
        f"The parts of a round of {_shape(rows)}",
        ["part", *header],
        lines,
        (f"Read bandwidth in this run, all cores: {', '.join(speeds)}.",) if speeds else (),
    )


def _memory(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "memory")
    dtypes = sorted({row["case"]["dtype"] for row in rows}, reverse=True)

    def cell(row: Row) -> str:
        share = row["beyond_bytes"] / row["input_bytes"]
        return f"{row['beyond_bytes'] / 2**20:,.0f} MiB ({share:.0%} of the predictions)"

    return Table(
        f"Memory at the peak, beyond the predictions of {_shape(rows)}",
        ["scored by", *dtypes],
        _grid(rows, name_of, lambda row: row["case"]["dtype"], dtypes, cell),
    )


def _start(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "start")
    reading = [row["median"] for row in rows if row["part"] == READ]
    lines = []
    for row in rows:
        name = "" if row["competitor"] == "any" else f", {name_of(row)}"
        shape = f", {_shape([row])}" if row["part"] in (READ, SCORE, BARE, SMALL) else ""
        beyond = duration(row["median"] - reading[0]) if row["part"] == SCORE else ""
        lines.append([f"{row['part']}{name}{shape}", duration(row["median"]), beyond])
    return Table(
        "A fresh process, from its start to its end (but for reading alone)",
        ["what", "time", "beyond reading the predictions"],
        lines,
    )


def _metrics(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "metrics")
    names = sorted({name_of(row) for row in rows}, reverse=True)

    def cell(row: Row) -> str:
        if row["part"].startswith(MEMORY):
            return f"{row['beyond_bytes'] / 2**20:,.0f} MiB"
        time = duration(row["median"])
        ours = "ratio" in row and row["competitor"] != row["against"]
        return f"{time} ({compared(row['ratio'])})" if ours else time

    return Table(
        f"Today's scores of {_shape(rows)}, against numerai-tools",
        ["score", *names],
        _grid(rows, lambda row: row["part"], name_of, names, cell),
    )


def _evaluate(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "evaluate")
    parts = list(dict.fromkeys(row["part"] for row in rows))

    def cell(row: Row) -> str:
        ours = "ratio" in row and row["competitor"] != row["against"]
        return duration(row["median"]) + (f" ({compared(row['ratio'])})" if ours else "")

    case = rows[0]["case"] if rows else {}
    shape = "{users:,} models over {draws:,} eras of {stocks:,} rows" if rows else ""
    return Table(
        shape.format(**case), ["evaluated by", *parts], _grid(rows, name_of, part_of, parts, cell)
    )


def _training(results: dict[str, Any]) -> Table:
    rows = rows_of(results, "training")
    parts = list(dict.fromkeys(row["part"] for row in rows))
    ranked = {row["competitor"]: row["median"] for row in rows if row["part"] == parts[0]}

    def cell(row: Row) -> str:
        times = f" ({row['median'] / ranked[row['competitor']]:.2f} times ranking)"
        return duration(row["median"]) + (times if row["part"] != parts[0] else "")

    case = rows[0]["case"] if rows else {}
    shape = "A boosting round: {draws:,} eras of about {stocks:,} rows" if rows else ""
    return Table(
        shape.format(**case), ["engine", *parts], _grid(rows, name_of, part_of, parts, cell)
    )


def part_of(row: Row) -> str:
    """Return which part of a benchmark a row times."""
    return str(row["part"])


_TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {
    "machine": _machine,
    "peers": _peers,
    "round": _round,
    "growth": _growth,
    "parts": _parts,
    "memory": _memory,
    "metrics": _metrics,
    "evaluate": _evaluate,
    "training": _training,
    "start": _start,
}


def rows_of(results: dict[str, Any], bench: str) -> list[Row]:
    return [row for row in results["rows"] if row["bench"] == bench]


def _grid(
    rows: Iterable[Row],
    line: Callable[[Row], str],
    column: Callable[[Row], Any],
    columns: list[Any],
    cell: Callable[[Row], str],
) -> list[list[str]]:
    """Return lines of a table: rows gathered by line and column, in order of appearance."""
    lines: dict[str, dict[Any, str]] = {}
    for row in rows:
        lines.setdefault(line(row), {})[column(row)] = cell(row)
    return [[name, *(cells.get(key, "") for key in columns)] for name, cells in lines.items()]


def name_of(row: Row) -> str:
    return label(row["competitor"])


def label(competitor: str) -> str:
    """Return what a competitor is called in a table."""
    if competitor == CLOSED_FORM:
        return "NumPy closed form"
    return f"mmc_gpu {competitor}" if competitor in ("numpy", "cpu", "gpu") else competitor


def _shape(rows: list[Row]) -> str:
    if not rows:
        return ""
    case = rows[0]["case"]
    return f"{case['users']:,} users x {case['stocks']:,} stocks x {case['draws']:,} draws"


def duration(seconds: float) -> str:
    """Return a time with a unit, to two or three digits."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 1.5 * size or size == 1.0 <= seconds:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e3:.3g} ms"


def ratio(value: float) -> str:
    """Return how many times faster: 16x, 8.2x."""
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2g}x"


def compared(value: float) -> str:
    """Return a ratio in words: 16x faster, 12x slower."""
    return f"{ratio(value)} faster" if value >= 1 else f"{ratio(1 / value)} slower"
