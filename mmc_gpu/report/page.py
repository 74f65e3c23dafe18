"""One HTML page that holds everything it shows and can reach nothing else."""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats

UNKNOWN = -(2**31)  # the integer that stands for NaN

_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none';"
    " form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No network; only our script, known by its hash, may run; no script may write HTML."""

_SHARED = ("page.js", "charts.js", "table.js", "faults.js")
"""The scripts of every page; those of one page come after them."""


def build_page(title: str, body: str, scripts: Sequence[str], data: Mapping[str, Any]) -> bytes:
    """Return a page: `body` and `scripts` are files in web/, which only this page has.

    The data is written as JSON; its names reach the page as text only.
    """
    style = _text("report.css")
    script = "\n".join(_text(name) for name in (*_SHARED, *scripts))
    policy = _POLICY.format(script=_hash(script), style=_hash(style))
    parts = {"policy": policy, "title": escape(title), "style": style, "script": script}
    parts |= {"body": _text(body), "data": script_safe(data)}
    return Template(_text("template.html")).substitute(parts).encode()


def html_table(title: str, columns: Mapping[str, Any], most: int) -> str:
    """Return the first rows of a table for a notebook, below a title; every text is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    rows = zip(*(values[:most] for values in columns.values()), strict=True)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    more = max(0, len(next(iter(columns.values()))) - most)
    return (
        f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + (f"<p>and {more:,} more rows</p>" if more else "")
    )


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return escape(value)
    return "" if value is None or value != value else f"{value:.6g}"


def integers(numbers: Array) -> str:
    """Return int32 as text: zigzag, first bytes of all, then second bytes, ...; zlib; base64."""
    whole = np.asarray(numbers).astype(np.int32).ravel()
    zigzag = (whole << 1) ^ (whole >> 31)  # small negative numbers get bytes of 0, not 0xff
    planes = zigzag.astype("<i4").view(np.uint8).reshape(-1, 4).T
    # of many numbers, looking for more than runs takes six times as long for 1 %
    return _pack(planes.tobytes(), zlib.Z_RLE if planes.size > 2**17 else zlib.Z_DEFAULT_STRATEGY)


def floats(numbers: Array) -> dict[str, str]:
    """Return numbers as packed float32."""
    return {"floats": integers(np.asarray(numbers).astype(np.float32).view(np.int32))}


def decimals(numbers: Array, places: int) -> dict[str, Any]:
    """Return numbers rounded to so many decimals, packed as integers; `UNKNOWN` if not finite."""
    scaled = np.rint(np.asarray(numbers, np.float64) * 10.0**places)
    whole = np.where(np.isfinite(scaled), np.clip(scaled, UNKNOWN + 1, -UNKNOWN - 1), UNKNOWN)
    return {"integers": integers(whole), "decimals": places}


def texts(values: Sequence[str]) -> str:
    """Return texts as base64 of zlib of JSON."""
    return _pack(json.dumps(list(values)).encode())


def decimals_for(*tables: Floats) -> int:
    """Return how many decimals are shown: 5; of very small or large numbers five digits in all."""
    largest = max(np.abs(table).max(initial=0.0, where=np.isfinite(table)) for table in tables)
    if 1e-4 <= largest < 1e3 or largest == 0.0:
        return 5
    return min(4 - math.floor(math.log10(largest)), 308)  # 1e309 is no float64


def number(value: Any) -> float | None:
    """Return a number for JSON, which has no NaN: None instead."""
    return None if math.isnan(value) else float(value)


def receipt_rows(receipt: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a receipt as rows of text, label and value, and the files that were read.

    `labels` has what each entry that is shown is called, by its name in the receipt.
    """

    def listed(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key} {listed(each)}" for key, each in value.items())
        return "none" if value in (None, [], ()) else str(value)

    return {
        "rows": [[label, listed(receipt[name])] for name, label in labels.items()],
        "inputs": [[entry["file"], entry["bytes"], entry["sha256"]] for entry in receipt["inputs"]],
    }


def script_safe(data: Mapping[str, Any]) -> str:
    """Return JSON that can end no script element and open no comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _pack(data: bytes, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> str:
    # level 9 takes six times as long for 0.8 % less
    packing = zlib.compressobj(6, strategy=strategy)
    return base64.b64encode(packing.compress(data) + packing.flush()).decode()


def _text(name: str) -> str:
    return (files("mmc_gpu.report") / "web" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
