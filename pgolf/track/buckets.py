"""The sweep over a hashed cache's buckets as one picture: what it claims, and what its rows sum to.

Drawn from a small table (``sweeps/results/buckets.csv``) by matplotlib (the extra ``plot``), which is imported when a
picture is asked for.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from pgolf.core.errors import RunError
from pgolf.track.curves import picture

COLUMNS = ("buckets", "claimed", "mean_sum", "most_sum", "renormalised")
_SIZE_INCHES = (8.4, 3.6)


def draw_buckets(table: Path, out: Path) -> None:
    """Draw the sweep in ``table`` into ``out``; its ending chooses the format.

    Rows: numbers of buckets, powers of two, ascending; then ``exact``, the same rule over exact counts, and
    ``network``. Raises RunError for another table, or where matplotlib is missing.
    """
    rows = _rows(table)
    exact, network = rows.pop("exact"), rows.pop("network")
    bits = [math.log2(int(buckets)) for buckets in rows]
    series = {name: [row[name] for row in rows.values()] for name in COLUMNS[1:]}
    with picture(out, _SIZE_INCHES) as (left, right):
        left.figure.suptitle("counters shared by hashing: ngram=hashed, orders 2 to 7, 0.4 of the mixture", fontsize=9)
        left.plot(bits, series["renormalised"], marker="o", markersize=3, label="divided by Σp: a code length")
        left.plot(bits, series["claimed"], marker="o", markersize=3, label="claimed")
        for row, style, text in ((exact, ":", "exact counts"), (network, "--", "network alone")):
            left.axhline(
                row["claimed"], linestyle=style, linewidth=1, color="gray", label=f"{text}, {row['claimed']:.4f}"
            )
        left.set(title="the fewer buckets, the better the claim", ylabel="bits per byte", ylim=(0, None))
        left.legend(loc="center left", bbox_to_anchor=(0.0, 0.66), fontsize=7)
        right.plot(bits, series["most_sum"], marker="o", markersize=3, label="largest")
        right.plot(bits, series["mean_sum"], marker="o", markersize=3, label="mean")
        right.axhline(1, linestyle="--", linewidth=1, color="gray", label="a distribution")
        right.set(title="because its rows sum to more than one", ylabel="Σp of a row", yscale="log")
        right.legend(loc="upper right", fontsize=7)
        for axes in (left, right):
            axes.set_xlabel("buckets of each order's counters")
            axes.set_xticks(bits[::2], [f"$2^{{{bit:.0f}}}$" for bit in bits[::2]])


def _rows(table: Path) -> dict[str, Mapping[str, float]]:
    try:
        with open(table, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows: dict[str, Mapping[str, float]] = {
                row["buckets"]: {name: float(row[name]) for name in COLUMNS[1:]} for row in reader
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{table}: no table of {', '.join(COLUMNS)} ({error})") from error
    powers = [name for name in rows if name.isdecimal() and int(name) > 0]
    if len(powers) < 2 or set(rows) - set(powers) != {"exact", "network"}:
        raise RunError(f"{table}: a sweep has rows of two numbers of buckets or more, of exact and of network")
    return rows
