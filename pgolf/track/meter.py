"""A bar of characters: how much of something there is."""

from __future__ import annotations

from rich.text import Text


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
