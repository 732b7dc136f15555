"""Bars of characters: how much of something there is, and how something went."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

LEVEL = 1e-9  # of the values' size: no more than rounding


def meter(fraction: float | None, width: int, unicode: bool, elapsed: float = 0.0, style: str = "cyan") -> Text:
    """A bar of ``width`` columns; where the end is not known, a piece that wanders with ``elapsed``."""
    full, empty = ("━", "─") if unicode else ("=", "-")
    bar = Text()
    if fraction is None:
        piece, room = width // 4, width - width // 4
        place = int(elapsed * 8) % (2 * room)
        start = place if place <= room else 2 * room - place
        bar.append(empty * start, style="dim")
        bar.append(full * piece, style=style)
        bar.append(empty * (room - start), style="dim")
        return bar
    filled = int(width * fraction)
    bar.append(full * filled, style=style)
    bar.append(empty * (width - filled), style="dim")
    return bar


def course(values: Sequence[float | None], width: int, unicode: bool) -> str:
    """A curve of ``width`` columns from the least of ``values`` to the largest; blank where there is none."""
    steps = "▁▂▃▄▅▆▇█" if unicode else "_.-=+*#@"
    means: list[float | None] = []
    for column in range(width):
        part = values[column * len(values) // width : max((column + 1) * len(values) // width, 1)]
        known = [value for value in part if value is not None]
        means.append(sum(known) / len(known) if known else None)
    least, largest = (pick([mean for mean in means if mean is not None], default=0.0) for pick in (min, max))
    spread = largest - least
    if spread <= LEVEL * max(abs(least), abs(largest)):
        spread = math.inf  # the same all along, but for rounding
    return "".join(
        " " if mean is None else steps[int((mean - least) / spread * (len(steps) - 1) + 0.5)] for mean in means
    )
